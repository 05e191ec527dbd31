// Taking over in rounds, while the earlier process changes its table: the last round's result is
// what taking it over at once would give.

#include "test.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "flow/adopt.h"
#include "flow_fixture.h"
#include "flow_place.h"

#define MAX	4096
#define KEYS	3000
#define PORTS	5
#define ROUNDS	4
#define CHANGES 400
#define SEEDS	12

// Seconds, of the table's clock. Workers' may be a little behind.
static uint32_t seconds = 1000;

static uint32_t worker_now(void)
{
	return seconds - (uint32_t)random() % 2;
}

// ---- the earlier process

struct earlier {
	struct flow_fixture fixture;
	struct flow_keep keep;
	flow_reference references[KEYS]; // by key; 0: not open
};

static flow_ingress from_port(uint32_t port)
{
	return (flow_ingress)port << 48 | (flow_ingress)random();
}

static void packet_comes(struct flow_account *account)
{
	uint32_t time = worker_now();

	account->last_seen = time < account->created ? account->created : time;
}

static void mapped_end(void *context, const struct flow *flow)
{
}

static void open_one(struct earlier *earlier, uint32_t i)
{
	struct flow flow = fixture_flow(i, random() % 8 == 0);

	if (random() % 4 == 0)
		flow.account.flags |= FLOW_MAPPED;
	if (random() % 2)
		flow.account.state = FLOW_STATE_REPLIED;
	flow.direction[0].ingress = from_port(1 + (uint32_t)random() % PORTS);
	flow.direction[0].rule.group = (uint32_t)random() % 100;
	earlier->references[i] = fixture_insert(&earlier->fixture, &flow, worker_now());
}

static void change_one(struct earlier *earlier, uint32_t i)
{
	struct flow_table *table = earlier->fixture.table;
	struct flow *flow = flow_table_get(table, earlier->references[i]);
	struct flow_direction *direction = &flow->direction[random() % 2];
	struct flow_action action = {.port = 3, .flags = (uint16_t)(random() % 2 ? 0 : 1)};

	switch (random() % 7) {
	case 0:
		flow->account.packets[random() % 2]++;
		break;
	case 1:
		flow->account.bytes[random() % 2] += 1500;
		break;
	case 2:
		flow->account.state = FLOW_STATE_REPLIED;
		flow_charge_settle(&table->charges, &flow->account);
		break;
	case 3:
		flow_action_set(direction, action, 7);
		break;
	case 4:
		flow_charge_move(&table->charges, flow, from_port(1 + (uint32_t)random() % PORTS));
		break;
	case 5:
		flow->direction[FLOW_ORIGINAL].rule.rule = (uint32_t)random() % 100;
		break;
	default:
		flow->account.flags |= FLOW_RACED;
		break;
	}
	// All of that is a packet's doing.
	packet_comes(&flow->account);
}

static void change(struct earlier *earlier)
{
	for (unsigned int n = 0; n < CHANGES; n++) {
		uint32_t i = (uint32_t)random() % KEYS;

		if (!earlier->references[i]) {
			open_one(earlier, i);
		} else if (random() % 3 == 0) {
			fixture_remove(&earlier->fixture, earlier->references[i]);
			earlier->references[i] = 0;
		} else {
			change_one(earlier, i);
		}
		// So that places and keys come back soon, in other pairs.
		fixture_quiescent(&earlier->fixture);
	}
}

static void earlier_open(struct earlier *earlier, uint32_t workers)
{
	struct error err;

	unlink(path);
	memset(earlier, 0, sizeof(*earlier));
	if (flow_keep_open(path, -1, &earlier->keep, &err) < 0)
		fail_msg("%s", err.text);
	fixture_open_kept(&earlier->fixture, MAX, workers, &earlier->keep);
	earlier->fixture.table->mapped.end = mapped_end;
	flow_keep_commit(&earlier->keep);
	for (uint32_t i = 0; i < KEYS; i += 2)
		open_one(earlier, i);
}

static void earlier_close(struct earlier *earlier)
{
	fixture_close(&earlier->fixture);
	flow_keep_close(&earlier->keep);
}

// What a round may read while it is being written; afterwards it is as it was.
struct half_read {
	uint32_t number;
	struct flow before;
};

// A time is written as a whole.
static void spoil_bit(struct flow *flow)
{
	uint32_t time = flow->account.last_seen;

	((uint8_t *)flow)[random() % sizeof(*flow)] ^= (uint8_t)(1 << random() % 8);
	flow->account.last_seen = time;
}

static void spoil(struct earlier *earlier, struct half_read *spoilt, unsigned int count)
{
	struct flow *flows = earlier->fixture.table->flows;
	uint32_t end = flow_table_end(earlier->fixture.table);

	for (unsigned int n = 0; n < count; n++) {
		spoilt[n].number = 1 + (uint32_t)random() % (end - 1);
		spoilt[n].before = flows[spoilt[n].number];
		if (random() % 2)
			flows[spoilt[n].number] = flows[1 + (uint32_t)random() % (end - 1)];
		else
			spoil_bit(&flows[spoilt[n].number]);
	}
}

static void mend(struct earlier *earlier, const struct half_read *spoilt, unsigned int count)
{
	while (count--) {
		struct flow *flow = &earlier->fixture.table->flows[spoilt[count].number];

		*flow = spoilt[count].before;
		if (flow_has(&flow->account, FLOW_LIVE))
			packet_comes(&flow->account);
	}
}

// ---- the next one

struct next {
	struct flow_fixture fixture;
	struct flow_adoption adoption;
	int mappings; // in use
};

static bool accept_flow(void *context, const struct flow *flow, uint32_t now)
{
	struct next *next = context;

	next->mappings += flow_has(&flow->account, FLOW_MAPPED) != 0;
	return true;
}

static void forget_flow(void *context, const struct flow *flow)
{
	struct next *next = context;

	next->mappings--;
}

static void next_open(struct next *next, uint32_t max, uint32_t workers)
{
	memset(next, 0, sizeof(*next));
	fixture_open(&next->fixture, max, workers);
	next->adoption = (struct flow_adoption){
		.accept = accept_flow, .forget = forget_flow, .context = next};
}

static void round_of(struct next *next, const struct flow_keep *keep)
{
	flow_table_adopt(next->fixture.table, &keep->remains, seconds, &next->adoption);
}

static const struct flow *found(const struct next *next, const struct flow_key *key)
{
	flow_reference reference = fixture_find(&next->fixture, key);

	return reference ? flow_table_get(next->fixture.table, reference) : NULL;
}

static void check_direction(const struct flow_direction *a, const struct flow_direction *b)
{
	assert_true(flow_key_equal(&a->key, &b->key));
	assert_int_equal(a->ingress, b->ingress);
	assert_int_equal(a->action, b->action);
	assert_int_equal(a->generation, b->generation);
	assert_memory_equal(&a->rule, &b->rule, sizeof(a->rule));
}

// All that is in `a` is in `b`, and alike.
static void check_alike(const struct next *a, const struct next *b)
{
	const struct flow_table *table = a->fixture.table;

	for (uint32_t number = 1; number < flow_table_end(table); number++) {
		const struct flow *flow = &table->flows[number], *other;

		if (!flow_has(&flow->account, FLOW_LIVE))
			continue;
		other = found(b, &flow->direction[0].key);
		assert_non_null(other);
		check_direction(&flow->direction[0], &other->direction[0]);
		if (!flow_has(&flow->account, FLOW_ONE_WAY)) {
			assert_ptr_equal(found(b, &flow->direction[1].key), other);
			check_direction(&flow->direction[1], &other->direction[1]);
		}
		assert_memory_equal(&flow->account, &other->account, sizeof(flow->account));
	}
}

static void check_same(const struct next *rounds, const struct next *once)
{
	const struct flow_table *a = rounds->fixture.table, *b = once->fixture.table;

	assert_int_equal(rounds->adoption.adopted, once->adoption.adopted);
	assert_int_equal(rounds->adoption.dropped, once->adoption.dropped);
	assert_int_equal(flow_table_count(a), flow_table_count(b));
	assert_int_equal(rounds->mappings, once->mappings);
	check_alike(rounds, once);
	check_alike(once, rounds);
	for (uint32_t i = 0; i < FLOW_CHARGES; i++) {
		assert_int_equal(a->charges.list[i].connections, b->charges.list[i].connections);
		assert_int_equal(a->charges.list[i].half_open, b->charges.list[i].half_open);
	}
	fixture_check(&rounds->fixture);
}

static void play(unsigned int seed)
{
	struct half_read spoilt[40];
	struct next rounds, once;
	struct earlier earlier;
	struct flow_keep keep;
	struct error err;

	srandom(seed);
	earlier_open(&earlier, 1 + seed % 3);
	seconds += 10;
	assert_int_equal(flow_keep_open(path, open(path, O_RDONLY), &keep, &err), 0);
	next_open(&rounds, MAX, 1 + seed / 3 % 2);
	flow_adoption_begin(&rounds.adoption, rounds.fixture.table, &keep.remains);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		spoil(&earlier, spoilt, 40);
		round_of(&rounds, &keep);
		mend(&earlier, spoilt, 40);
		change(&earlier);
		// Rounds may follow each other within a second.
		seconds += i % 2 * 10;
	}
	round_of(&rounds, &keep);
	next_open(&once, MAX, 1);
	round_of(&once, &keep);
	assert_int_equal(once.adoption.dropped, 0);
	assert_int_equal(once.adoption.adopted, flow_table_count(earlier.fixture.table));
	check_same(&rounds, &once);
	// Nothing has changed since.
	round_of(&rounds, &keep);
	assert_int_equal(rounds.adoption.changed, 0);
	flow_adoption_end(&rounds.adoption);
	fixture_close(&once.fixture);
	fixture_close(&rounds.fixture);
	flow_keep_close(&keep);
	earlier_close(&earlier);
}

static void test_rounds(void **state)
{
	for (unsigned int seed = 0; seed < SEEDS; seed++)
		play(seed);
}

// Few are left, and the memory of the others was given back: nothing of it is looked at any more.
static void test_memory_is_given_back(void **state)
{
	struct next rounds, once;
	struct earlier earlier;
	struct flow_keep keep;
	struct error err;
	struct stat is;
	int fd;

	srandom(1);
	earlier_open(&earlier, 1);
	fd = open(path, O_RDWR);
	assert_int_equal(flow_keep_open(path, fd, &keep, &err), 0);
	next_open(&rounds, MAX, 2);
	flow_adoption_begin(&rounds.adoption, rounds.fixture.table, &keep.remains);
	round_of(&rounds, &keep);
	assert_int_not_equal(rounds.mappings, 0);
	assert_int_equal(fstat(fd, &is), 0);
	// As if all had ended but those of the first page.
	assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   (off_t)keep.remains.header->flows_at + 4096,
				   is.st_size - (off_t)keep.remains.header->flows_at - 4096),
			 0);
	round_of(&rounds, &keep);
	assert_in_range(rounds.adoption.adopted, 1, 4096 / sizeof(struct flow));
	next_open(&once, MAX, 1);
	round_of(&once, &keep);
	check_same(&rounds, &once);
	flow_adoption_end(&rounds.adoption);
	fixture_close(&once.fixture);
	fixture_close(&rounds.fixture);
	flow_keep_close(&keep);
	earlier_close(&earlier);
}

// As full as it can be: those that ended make room for those that came.
static void test_full_table(void **state)
{
	struct earlier earlier;
	struct next rounds;
	struct flow_keep keep;
	struct error err;
	uint32_t live;

	srandom(2);
	earlier_open(&earlier, 1);
	live = (uint32_t)flow_table_count(earlier.fixture.table);
	assert_int_equal(flow_keep_open(path, open(path, O_RDONLY), &keep, &err), 0);
	next_open(&rounds, live, 1);
	flow_adoption_begin(&rounds.adoption, rounds.fixture.table, &keep.remains);
	round_of(&rounds, &keep);
	for (uint32_t i = 0, ended = 0; ended < live / 2; i++) {
		if (!earlier.references[i])
			continue;
		fixture_remove(&earlier.fixture, earlier.references[i]);
		earlier.references[i] = 0;
		ended++;
	}
	for (uint32_t i = KEYS - 1, opened = 0; opened < live / 2; i--) {
		if (earlier.references[i])
			continue;
		open_one(&earlier, i);
		opened++;
	}
	round_of(&rounds, &keep);
	assert_int_equal(rounds.adoption.dropped, 0);
	assert_int_equal(rounds.adoption.adopted, flow_table_count(earlier.fixture.table));
	fixture_check(&rounds.fixture);
	flow_adoption_end(&rounds.adoption);
	fixture_close(&rounds.fixture);
	flow_keep_close(&keep);
	earlier_close(&earlier);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rounds),
		cmocka_unit_test(test_memory_is_given_back),
		cmocka_unit_test(test_full_table),
	};

	return cmocka_run_group_tests(tests, make_place, remove_place);
}
