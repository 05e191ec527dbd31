// What a killed process leaves of its connections, and what the next one takes over.

#include "test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "flow/adopt.h"
#include "flow_fixture.h"
#include "flow_place.h"

#define NOW 1000

static int remove_table(void **state)
{
	unlink(path);
	return 0;
}

static void open_kept(struct flow_fixture *fixture, struct flow_keep *keep, uint32_t max,
		      uint32_t workers)
{
	struct error err;

	if (flow_keep_open(path, -1, keep, &err) < 0)
		fail_msg("%s", err.text);
	fixture_open_kept(fixture, max, workers, keep);
	assert_string_equal(keep->reason, "");
}

// As at the start of a daemon.
static struct flow_adoption adopt(struct flow_fixture *fixture, struct flow_keep *keep,
				  uint32_t max, uint32_t workers)
{
	struct flow_adoption adoption = {.adopted = 0};

	open_kept(fixture, keep, max, workers);
	if (keep->remains.header)
		flow_table_adopt(fixture->table, &keep->remains, NOW, &adoption);
	flow_keep_commit(keep);
	return adoption;
}

static void end(struct flow_fixture *fixture, struct flow_keep *keep)
{
	fixture_close(fixture);
	flow_keep_close(keep);
}

// As one that was killed: nothing is said to anybody.
static void leave(uint32_t max, uint32_t workers, uint32_t count)
{
	struct flow_fixture fixture;
	struct flow_keep keep;

	adopt(&fixture, &keep, max, workers);
	for (uint32_t i = 0; i < count; i++) {
		struct flow flow = fixture_flow(i, i % 16 == 5);
		flow_reference reference = fixture_insert(&fixture, &flow, NOW - 10);
		struct flow *entered = flow_table_get(fixture.table, reference);

		assert_int_not_equal(reference, 0);
		entered->account.packets[0] = i;
		entered->account.bytes[1] = 2 * i;
		flow_action_set(&entered->direction[0], (struct flow_action){.flags = 1}, 7);
		if (i % 3 == 0)
			fixture_remove(&fixture, reference);
		fixture_quiescent(&fixture);
	}
	end(&fixture, &keep);
}

static void check_adopted(const struct flow_fixture *fixture, uint32_t i)
{
	struct flow flow = fixture_flow(i, i % 16 == 5);
	flow_reference reference = fixture_find(fixture, &flow.direction[0].key);
	const struct flow *found;

	if (i % 3 == 0) {
		assert_int_equal(reference, 0);
		return;
	}
	check_case(reference, "connection %u is lost\n", i);
	found = flow_table_get(fixture->table, reference);
	assert_int_equal(found->account.packets[0], i);
	assert_int_equal(found->account.bytes[1], 2 * i);
	assert_int_equal(found->account.created, NOW - 10);
	assert_int_equal(found->account.last_seen, NOW - 10);
	// Who it was is kept, what it may is not.
	assert_int_equal(found->direction[0].generation, 0);
	assert_int_equal(flow_action_get(&found->direction[0]).flags, 1);
	if (i % 16 != 5)
		assert_int_equal(fixture_find(fixture, &flow.direction[1].key),
				 reference | FLOW_REPLY);
}

// With as many workers, with more and with fewer; into a table of another size.
static void test_adopts(void **state)
{
	static const struct {
		uint32_t max, workers;
	} nexts[] = {{4096, 1}, {4096, 3}, {60000, 2}, {100000, 1}};

	for (size_t n = 0; n < sizeof(nexts) / sizeof(nexts[0]); n++) {
		const uint32_t count = 3000, live = count - count / 3;
		struct flow_adoption adoption;
		struct flow_fixture fixture;
		struct flow_keep keep;

		unlink(path);
		leave(4096, 2, count);
		adoption = adopt(&fixture, &keep, nexts[n].max, nexts[n].workers);
		assert_int_equal(adoption.adopted, live);
		assert_int_equal(adoption.dropped, 0);
		assert_int_equal(flow_table_count(fixture.table), live);
		for (uint32_t i = 0; i < count; i++)
			check_adopted(&fixture, i);
		fixture_check(&fixture);
		end(&fixture, &keep);
		// And once more, from the one that has adopted them.
		adoption = adopt(&fixture, &keep, 4096, 1);
		assert_int_equal(adoption.adopted, live);
		for (uint32_t i = 0; i < count; i++)
			check_adopted(&fixture, i);
		end(&fixture, &keep);
	}
}

// Who dies before all are adopted leaves the earlier table.
static void test_dies_while_adopting(void **state)
{
	struct flow_adoption adoption = {.adopted = 0};
	struct flow_fixture fixture;
	struct flow_keep keep;

	leave(4096, 1, 300);
	open_kept(&fixture, &keep, 4096, 1);
	flow_table_adopt(fixture.table, &keep.remains, NOW, &adoption);
	end(&fixture, &keep);
	adoption = adopt(&fixture, &keep, 4096, 1);
	assert_int_equal(adoption.adopted, 200);
	end(&fixture, &keep);
}

static void test_table_too_small(void **state)
{
	struct flow_adoption adoption;
	struct flow_fixture fixture;
	struct flow_keep keep;

	leave(4096, 1, 3000);
	adoption = adopt(&fixture, &keep, 500, 1);
	assert_int_equal(adoption.adopted, 500);
	assert_int_equal(adoption.dropped, 1500);
	fixture_check(&fixture);
	end(&fixture, &keep);
}

static void test_one_process(void **state)
{
	struct flow_keep first, second;
	struct error err;

	assert_int_equal(flow_keep_open(path, -1, &first, &err), 0);
	assert_int_equal(flow_keep_open(path, -1, &second, &err), -1);
	assert_non_null(strstr(err.text, path));
	flow_keep_close(&first);
	assert_int_equal(flow_keep_open(path, -1, &second, &err), 0);
	flow_keep_close(&second);
}

// ---- tables that are not as they should be

static struct flow_file_header *map_left(size_t *size)
{
	int fd = open(path, O_RDWR);
	void *mapped;

	assert_true(fd >= 0);
	*size = (size_t)lseek(fd, 0, SEEK_END);
	mapped = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(mapped, MAP_FAILED);
	close(fd);
	return mapped;
}

static void check_lost(const char *why)
{
	struct flow_keep keep;
	struct error err;

	assert_int_equal(flow_keep_open(path, -1, &keep, &err), 0);
	assert_null(keep.remains.header);
	assert_string_equal(keep.lost, why);
	flow_keep_close(&keep);
}

static void test_header(void **state)
{
	struct flow_file_header *header, before;
	size_t size;

	leave(4096, 1, 10);
	header = map_left(&size);
	before = *header;
	header->magic[0] = 'S';
	check_lost("it is no connection table");
	*header = before;
	header->layout++;
	check_lost("it has the layout of another version");
	*header = before;
	header->flow_size += 8;
	check_lost("it has the layout of another version");
	*header = before;
	header->secret.words[3] ^= 16;
	check_lost("its header is damaged");
	*header = before;
	assert_int_equal(truncate(path, (off_t)size - 4096), 0);
	check_lost("it is cut short");
	assert_int_equal(truncate(path, 100), 0);
	check_lost("it is no connection table");
	munmap(header, size);
}

// A word that must not be, in one of three connections.
static void check_refused(void (*spoil)(struct flow *flow), uint32_t dropped)
{
	struct flow_adoption adoption;
	struct flow_file_header *header;
	struct flow_fixture fixture;
	struct flow_keep keep;
	struct flow *flows;
	size_t size;

	unlink(path);
	leave(4096, 2, 5); // 1, 2 and 4; places 1 to 5 or so
	header = map_left(&size);
	flows = (struct flow *)((char *)header + header->flows_at);
	for (uint32_t i = 1; i <= header->max; i++)
		if (flow_has(&flows[i].account, FLOW_LIVE) && flows[i].account.packets[0] == 2)
			spoil(&flows[i]);
	munmap(header, size);
	adoption = adopt(&fixture, &keep, 4096, 1);
	assert_int_equal(adoption.dropped, dropped);
	assert_int_equal(adoption.adopted, 2);
	check_adopted(&fixture, 1);
	check_adopted(&fixture, 4);
	fixture_check(&fixture);
	end(&fixture, &keep);
}

static void spoil_flags(struct flow *flow)
{
	flow->account.flags |= 128;
}

static void spoil_live(struct flow *flow)
{
	flow->account.flags &= (uint8_t)~FLOW_LIVE;
}

static void spoil_one_way(struct flow *flow)
{
	flow->account.flags |= FLOW_ONE_WAY;
}

static void spoil_state(struct flow *flow)
{
	flow->account.state = FLOW_STATE_COUNT;
}

static void spoil_state_of_another(struct flow *flow)
{
	flow->account.state = FLOW_STATE_ESTABLISHED;
}

static void spoil_family(struct flow *flow)
{
	flow->direction[0].key.source.halves[0] ^= 1;
}

static void spoil_reply(struct flow *flow)
{
	flow->direction[1].key.source_port ^= 1;
}

static void spoil_network(struct flow *flow)
{
	flow->direction[1].key.network = 0;
}

static void spoil_key(struct flow *flow)
{
	struct flow other = fixture_flow(1, false);

	flow->direction[0].key = other.direction[0].key;
	flow->direction[1].key = other.direction[1].key;
	// The one that comes first has it.
	flow->account.packets[0] = 1;
	flow->account.bytes[1] = 2;
}

static void spoil_time(struct flow *flow)
{
	flow->account.last_seen = NOW + 1000000;
}

static void spoil_creation(struct flow *flow)
{
	flow->account.created = NOW + 1000000;
}

static void test_refuses(void **state)
{
	void (*const spoils[])(struct flow *) = {
		spoil_flags,  spoil_one_way,  spoil_state,   spoil_state_of_another,
		spoil_family, spoil_reply,    spoil_network, spoil_key,
		spoil_time,   spoil_creation,
	};

	check_refused(spoil_live, 0);
	for (size_t i = 0; i < sizeof(spoils) / sizeof(spoils[0]); i++)
		check_refused(spoils[i], 1);
}

// Bytes at random places, many times: what is taken over is a sound table.
static void test_damage(void **state)
{
	srandom(7);
	for (unsigned int round = 0; round < 100; round++) {
		struct flow_adoption adoption;
		struct flow_file_header *header;
		struct flow_fixture fixture;
		struct flow_keep keep;
		uint8_t *flows;
		size_t size;

		unlink(path);
		leave(4096, 2, 300);
		header = map_left(&size);
		flows = (uint8_t *)header + header->flows_at;
		for (unsigned int i = 0; i < 100; i++)
			flows[(size_t)random() % (300 * sizeof(struct flow))] ^=
				(uint8_t)(1 << random() % 8);
		munmap(header, size);
		adoption = adopt(&fixture, &keep, 4096, 1 + round % 2);
		assert_in_range(adoption.adopted + adoption.dropped, 190, 210);
		assert_in_range(adoption.adopted, 100, 200);
		assert_int_equal(flow_table_count(fixture.table), adoption.adopted);
		fixture_check(&fixture);
		end(&fixture, &keep);
	}
}

// ---- killed in the midst of it

// Opens and ends connections as fast as it can, and says up to which there are some.
static void churn(_Atomic uint32_t *opened)
{
	struct flow_fixture fixture;
	flow_reference references[512] = {0};
	struct flow_keep keep;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	adopt(&fixture, &keep, 4096, 1);
	for (uint32_t i = 0;; i++) {
		struct flow flow = fixture_flow(i, false);
		flow_reference *reference = &references[i % 512];

		if (*reference)
			fixture_remove(&fixture, *reference);
		fixture_quiescent(&fixture);
		*reference = fixture_insert(&fixture, &flow, NOW - 1);
		atomic_store(opened, i);
	}
}

// Starts that, and waits until it has come far enough.
static pid_t churn_start(_Atomic uint32_t *opened)
{
	pid_t child;

	unlink(path);
	atomic_store(opened, 0);
	child = fork();
	if (child == 0)
		churn(opened);
	while (atomic_load(opened) < 600)
		usleep(100);
	return child;
}

// All but the one that ended and the one that began just then.
static void churn_check(const struct flow_fixture *fixture, const struct flow_adoption *adoption,
			uint32_t last)
{
	assert_in_range(adoption->adopted, 510, 512);
	assert_int_equal(flow_table_count(fixture->table), adoption->adopted);
	assert_int_equal(adoption->dropped, 0);
	for (uint32_t i = last - 509; i <= last; i++) {
		struct flow flow = fixture_flow(i, false);

		check_case(fixture_find(fixture, &flow.direction[0].key),
			   "connection %u of %u is lost\n", i, last);
	}
	fixture_check(fixture);
}

static void test_killed(void **state)
{
	_Atomic uint32_t *opened =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	for (unsigned int round = 0; round < 40; round++) {
		struct flow_adoption adoption;
		struct flow_fixture fixture;
		struct flow_keep keep;
		pid_t child = churn_start(opened);

		usleep(97 * round);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		adoption = adopt(&fixture, &keep, 4096, 1);
		churn_check(&fixture, &adoption, atomic_load(opened));
		end(&fixture, &keep);
	}
	munmap((void *)(uintptr_t)opened, 4096);
}

// In rounds while it goes on, so that each reads what is being written.
static void test_follows_another_process(void **state)
{
	_Atomic uint32_t *opened =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	for (unsigned int round = 0; round < 10; round++) {
		struct flow_adoption adoption = {.adopted = 0};
		struct flow_fixture fixture;
		struct flow_keep keep;
		pid_t child = churn_start(opened);
		struct error err;

		assert_int_equal(flow_keep_open(path, open(path, O_RDONLY), &keep, &err), 0);
		fixture_open_kept(&fixture, 4096, 1 + round % 3, &keep);
		flow_adoption_begin(&adoption, fixture.table, &keep.remains);
		for (unsigned int i = 0; i < 50; i++)
			flow_table_adopt(fixture.table, &keep.remains, NOW, &adoption);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		flow_table_adopt(fixture.table, &keep.remains, NOW, &adoption);
		flow_adoption_end(&adoption);
		churn_check(&fixture, &adoption, atomic_load(opened));
		end(&fixture, &keep);
	}
	munmap((void *)(uintptr_t)opened, 4096);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_adopts, remove_table),
		cmocka_unit_test_teardown(test_dies_while_adopting, remove_table),
		cmocka_unit_test_teardown(test_table_too_small, remove_table),
		cmocka_unit_test(test_one_process),
		cmocka_unit_test_teardown(test_header, remove_table),
		cmocka_unit_test_teardown(test_refuses, remove_table),
		cmocka_unit_test_teardown(test_damage, remove_table),
		cmocka_unit_test_teardown(test_killed, remove_table),
		cmocka_unit_test_teardown(test_follows_another_process, remove_table),
	};

	return cmocka_run_group_tests(tests, make_place, remove_place);
}
