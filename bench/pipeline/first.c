// First packets: as many connections begin as end, while others are kept alive. What a turn of the
// loop does is timed in parts: packets that open connections, their answers, packets of those that
// are kept, ageing.

#include "layer/nat/nat.h"
#include "pipeline.h"

// Seconds that a connection is remembered after its last packet; the objects say so.
#define IDLE_SECONDS 4
// Connections that are open before the answer to one comes: what is in the rings.
#define ANSWER_BEHIND 1024
#define KEPT_BURST    (PORT_BURST / 2)

#define ROUND_TURNS 32
#define ROUNDS_MAX  65536

enum part {
	PART_FIRST,
	PART_ANSWER,
	PART_KEPT,
	PART_AGE,
	PARTS,
};

struct opener {
	const struct pipeline_options *options;
	struct traffic *traffic;
	struct world *world;
	struct worker *worker;
	uint32_t kept;	 // connections 0 to kept - 1 are kept alive
	uint32_t second; // connections opened in a second
	uint32_t second_before;
	uint32_t next;	    // to be opened
	uint32_t next_kept; // place in an order that no prefetcher guesses
	uint64_t cycles[PARTS];
};

struct parts {
	float all, part[PARTS];
};

static void fill(const struct opener *opener, enum side side, enum traffic_kind kind,
		 uint32_t first, struct rte_mbuf **mbufs, uint32_t count)
{
	require(rte_pktmbuf_alloc_bulk(opener->world->engine->pool, mbufs, count) == 0,
		"no packet buffers");
	for (uint32_t i = 0; i < count; i++)
		traffic_fill(opener->traffic, side, first + i, kind, mbufs[i]);
}

static void fill_kept(struct opener *opener, struct rte_mbuf **mbufs, uint32_t count)
{
	require(rte_pktmbuf_alloc_bulk(opener->world->engine->pool, mbufs, count) == 0,
		"no packet buffers");
	for (uint32_t i = 0; i < count; i++) {
		uint64_t place = opener->next_kept++;

		traffic_fill(opener->traffic, SIDE_CLIENT,
			     (uint32_t)(place * 2654435761 % opener->kept), TRAFFIC_DATA, mbufs[i]);
	}
}

// Receives and sends; returns cycles.
static uint64_t pass(struct opener *opener, enum side side, struct rte_mbuf **mbufs, uint32_t count)
{
	struct poll_entry from = {.port = opener->world->ports[side], .queue = 0};
	uint64_t start = rte_rdtsc_precise();

	fast_path_receive(opener->worker, &from, mbufs, count);
	transmit_flush_all(opener->worker);
	return rte_rdtsc_precise() - start;
}

// `first`: connections up to opener->next whose first packets were among these, and before others.
static void finish(struct opener *opener, uint32_t packets, uint32_t first)
{
	traffic_learn(opener->traffic, opener->world, opener->worker->index, opener->next - first,
		      first);
	rte_rcu_qsbr_quiescent(opener->world->engine->readers, opener->worker->index);
	require(world_take_sent(opener->world, opener->worker->index) == packets,
		"not all packets came out");
}

struct turn {
	struct rte_mbuf *first[PORT_BURST], *answers[PORT_BURST], *kept[KEPT_BURST];
};

static void fill_turn(struct opener *opener, struct turn *turn)
{
	bool tcp = opener->traffic->tcp;

	fill(opener, SIDE_CLIENT, tcp ? TRAFFIC_SYN : TRAFFIC_DATA, opener->next, turn->first,
	     PORT_BURST);
	fill(opener, SIDE_SERVER, tcp ? TRAFFIC_SYN_ACK : TRAFFIC_DATA,
	     opener->next - ANSWER_BEHIND, turn->answers, PORT_BURST);
	fill_kept(opener, turn->kept, KEPT_BURST);
	opener->next += PORT_BURST;
}

static void run_turn(struct opener *opener, struct turn *turn)
{
	struct worker *worker = opener->worker;
	uint64_t second = opener->world->engine->cycles_per_second, start;

	worker->now = 1000 + opener->next / opener->second;
	opener->cycles[PART_FIRST] += pass(opener, SIDE_CLIENT, turn->first, PORT_BURST);
	opener->cycles[PART_ANSWER] += pass(opener, SIDE_SERVER, turn->answers, PORT_BURST);
	opener->cycles[PART_KEPT] += pass(opener, SIDE_CLIENT, turn->kept, KEPT_BURST);
	start = rte_rdtsc_precise();
	flow_table_age(worker->flows, worker->index, worker->now,
		       second * PORT_BURST / opener->second, second, second / 300000);
	if (worker->now != opener->second_before) {
		nat_turn(worker->tables, worker->index, worker->now);
		opener->second_before = worker->now;
	}
	opener->cycles[PART_AGE] += rte_rdtsc_precise() - start;
}

// The name is what valgrind is told to look at.
void pipeline_first_turn(struct opener *opener, struct turn *turn);
__attribute__((noinline)) void pipeline_first_turn(struct opener *opener, struct turn *turn)
{
	run_turn(opener, turn);
}

#define TURN_ALL (2 * PORT_BURST + KEPT_BURST)

static struct parts run_round(struct opener *opener)
{
	struct parts parts = {0};

	memset(opener->cycles, 0, sizeof(opener->cycles));
	for (uint32_t i = 0; i < ROUND_TURNS; i++) {
		struct turn turn;

		fill_turn(opener, &turn);
		run_turn(opener, &turn);
		finish(opener, TURN_ALL, PORT_BURST);
	}
	for (unsigned int i = 0; i < PARTS; i++) {
		parts.part[i] = (float)opener->cycles[i] / (ROUND_TURNS * PORT_BURST);
		parts.all += parts.part[i];
	}
	return parts;
}

static int compare(const void *a, const void *b)
{
	float x = ((const struct parts *)a)->all, y = ((const struct parts *)b)->all;

	return x < y ? -1 : x > y;
}

static void open_first(struct opener *opener)
{
	struct rte_mbuf *mbufs[PORT_BURST];
	bool tcp = opener->traffic->tcp;

	opener->worker->now = 1000;
	while (opener->next < opener->kept + ANSWER_BEHIND) {
		fill(opener, SIDE_CLIENT, tcp ? TRAFFIC_SYN : TRAFFIC_DATA, opener->next, mbufs,
		     PORT_BURST);
		pass(opener, SIDE_CLIENT, mbufs, PORT_BURST);
		opener->next += PORT_BURST;
		finish(opener, PORT_BURST, PORT_BURST);
		if (opener->next <= opener->kept) {
			fill(opener, SIDE_SERVER, tcp ? TRAFFIC_SYN_ACK : TRAFFIC_DATA,
			     opener->next - PORT_BURST, mbufs, PORT_BURST);
			pass(opener, SIDE_SERVER, mbufs, PORT_BURST);
			finish(opener, PORT_BURST, 0);
		}
	}
}

static void print(struct parts *rounds, uint32_t count, const struct flow_table *flows)
{
	const struct parts *least;

	qsort(rounds, count, sizeof(*rounds), compare);
	least = &rounds[0];
	printf("%10.1f  (%.1f)   first packet %.1f  answer %.1f  half a packet of a kept one %.1f  "
	       "ageing %.1f   %lu live%s\n",
	       (double)least->all, (double)rounds[count / 2].all, (double)least->part[PART_FIRST],
	       (double)least->part[PART_ANSWER], (double)least->part[PART_KEPT],
	       (double)least->part[PART_AGE], flow_table_count(flows),
	       flows->memory.reserved ? "" : "   (no huge pages set aside for connections)");
}

void first_run(struct world *world, const struct pipeline_options *options, struct traffic *traffic,
	       struct worker *worker)
{
	struct opener opener = {
		.options = options,
		.traffic = traffic,
		.world = world,
		.worker = worker,
		.kept = RTE_MAX(options->connections / (IDLE_SECONDS + 1) / PORT_BURST, 1u) *
			PORT_BURST,
	};
	struct parts *rounds = malloc(ROUNDS_MAX * sizeof(*rounds));
	uint32_t count = 0, warm;
	uint64_t end;

	require(rounds != NULL, "no memory");
	opener.second = opener.kept;
	worker->flows->worker[worker->index].times = world->tables->times;
	open_first(&opener);
	// By then as many end as begin.
	warm = opener.next + 2 * options->connections;
	while (opener.next < warm)
		run_round(&opener);
	for (uint32_t i = 0; i < options->turns; i++) {
		struct turn turn;

		fill_turn(&opener, &turn);
		pipeline_first_turn(&opener, &turn);
		finish(&opener, TURN_ALL, PORT_BURST);
	}
	end = rte_rdtsc() + (uint64_t)(options->seconds * (double)rte_get_tsc_hz());
	while (!options->turns && rte_rdtsc() < end && count < ROUNDS_MAX &&
	       opener.next < TRAFFIC_CONNECTIONS - ROUND_TURNS * PORT_BURST)
		rounds[count++] = run_round(&opener);
	if (count)
		print(rounds, count, worker->flows);
	free(rounds);
}
