// Rounds of packets through the pipeline, timed by the time stamp counter. The fast path's own
// source is part of this file once more, with its steps one after the other, so that they can be
// timed one by one.

#include "worker/worker.h"

#define fast_path_receive staged_receive
#define fast_path_again	  staged_again
#define LOOK_UP_BEHIND	  ((uint32_t)PORT_BURST)

void staged_receive(struct worker *worker, const struct poll_entry *from, struct rte_mbuf **mbufs,
		    uint32_t count);
void staged_again(struct worker *worker, struct rte_mbuf **mbufs, uint32_t count);

#include "worker/fast_path.c"

#undef fast_path_receive

#include <sched.h>

#include <rte_lcore.h>

#include "pipeline.h"

#define ROUND_TURNS 16
#define ROUNDS_MAX  65536

struct stamps {
	uint64_t receive, look_up, apply, send;
};

struct runner {
	struct world *world;
	const struct pipeline_options *options;
	struct traffic *traffic;
	struct worker *worker;
	struct runner *other; // NULL: alone
	pthread_barrier_t *barrier;
	pthread_t thread;
	uint32_t next; // place in the order of connections
	struct measured *result;
	float *rounds;
	_Atomic uint64_t turns __attribute__((aligned(128)));
	_Atomic bool done;
} __attribute__((aligned(128)));

// Connections in an order that no prefetcher guesses; a prime, so all come by. Of several workers
// each has those with its number as the remainder; where directions are apart, of the server's
// packets those of the other one.
static uint32_t connection_at(const struct runner *runner, enum side side, uint32_t place)
{
	uint32_t workers = runner->options->workers, own = runner->worker->index;
	uint32_t count = RTE_MAX(runner->options->connections / workers, 1u);

	if (runner->options->apart && side == SIDE_SERVER)
		own = workers - 1 - own;
	return (uint32_t)((uint64_t)place * 2654435761 % count) * workers + own;
}

static void fill_burst(struct runner *runner, enum side side, enum traffic_kind kind,
		       uint32_t first, bool ordered, struct rte_mbuf **mbufs, uint32_t count)
{
	require(rte_pktmbuf_alloc_bulk(runner->world->engine->pool, mbufs, count) == 0,
		"no packet buffers");
	for (uint32_t i = 0; i < count; i++)
		traffic_fill(runner->traffic, side,
			     ordered ? first + i : connection_at(runner, side, first + i), kind,
			     mbufs[i]);
}

static void receive(struct runner *runner, enum side side, struct rte_mbuf **mbufs, uint32_t count)
{
	struct poll_entry from = {.port = runner->world->ports[side],
				  .queue = (uint16_t)runner->worker->index};

	fast_path_receive(runner->worker, &from, mbufs, count);
}

static void say_drops(const struct runner *runner)
{
	const struct world *world = runner->world;

	for (uint32_t side = 0; side < 2; side++)
		for (uint32_t reason = 0; reason < DROP_REASON_COUNT; reason++)
			for (uint32_t i = 0; i < runner->options->workers; i++)
				if (world->tables->ports[world->ports[side]]
					    .counters[i]
					    .drops[reason])
					fprintf(stderr, "pipeline: dropped: %s\n",
						drop_reason_name(reason));
}

// All packets of a turn must come out again.
static void finish(struct runner *runner)
{
	uint32_t sent, wanted = TURN_PACKETS;

	rte_rcu_qsbr_quiescent(runner->world->engine->readers, runner->worker->index);
	sent = world_take_sent(runner->world, runner->worker->index);
	if (sent == wanted)
		return;
	say_drops(runner);
	fprintf(stderr, "pipeline: %u of %u packets came out\n", sent, wanted);
	exit(1);
}

// ---- what is measured

static void anew(struct runner *runner)
{
	if (runner->options->packets == PACKETS_ANEW)
		runner->world->tables->generation = engine_next_generation(runner->world->engine);
}

static void turn(struct runner *runner, struct rte_mbuf *mbufs[2][PORT_BURST])
{
	delays_turn(runner->worker, rte_rdtsc());
	anew(runner);
	receive(runner, SIDE_CLIENT, mbufs[0], PORT_BURST);
	anew(runner);
	receive(runner, SIDE_SERVER, mbufs[1], PORT_BURST);
	transmit_flush_all(runner->worker);
}

// The name is what valgrind is told to look at.
void pipeline_measured_turn(struct runner *runner, struct rte_mbuf *mbufs[2][PORT_BURST]);
__attribute__((noinline)) void pipeline_measured_turn(struct runner *runner,
						      struct rte_mbuf *mbufs[2][PORT_BURST])
{
	turn(runner, mbufs);
}

// One side's burst with a stamp after each stage.
static void turn_by_stage(struct runner *runner, enum side side, struct rte_mbuf **mbufs,
			  struct stamps *sum)
{
	struct worker *worker = runner->worker;
	struct poll_entry from = {.port = runner->world->ports[side],
				  .queue = (uint16_t)worker->index};
	uint64_t start = rte_rdtsc_precise(), received, found, applied;

	delays_turn(worker, rte_rdtsc());
	burst_receive(worker, &from, mbufs, PORT_BURST);
	received = rte_rdtsc();
	burst_look_up(worker);
	found = rte_rdtsc();
	burst_apply(worker);
	applied = rte_rdtsc();
	transmit_flush_all(worker);
	sum->send += rte_rdtsc_precise() - applied;
	sum->receive += received - start;
	sum->look_up += found - received;
	sum->apply += applied - found;
}

// ---- rounds

static void fill_turn(struct runner *runner, struct rte_mbuf *mbufs[2][PORT_BURST])
{
	for (enum side side = SIDE_CLIENT; side <= SIDE_SERVER; side++)
		fill_burst(runner, side, TRAFFIC_DATA, runner->next, false, mbufs[side],
			   PORT_BURST);
	runner->next += PORT_BURST;
}

static double round_whole(struct runner *runner)
{
	struct rte_mbuf *mbufs[2][PORT_BURST];
	uint64_t cycles = 0;

	for (uint32_t i = 0; i < ROUND_TURNS; i++) {
		uint64_t start;

		fill_turn(runner, mbufs);
		start = rte_rdtsc_precise();
		pipeline_measured_turn(runner, mbufs);
		cycles += rte_rdtsc_precise() - start;
		finish(runner);
		atomic_store_explicit(&runner->turns, runner->turns + 1, memory_order_relaxed);
	}
	return (double)cycles / (ROUND_TURNS * TURN_PACKETS);
}

static void round_by_stage(struct runner *runner, struct measured *result)
{
	struct rte_mbuf *mbufs[2][PORT_BURST];
	struct stamps sums[2] = {{0}};
	double sides[2], all;

	for (uint32_t i = 0; i < ROUND_TURNS; i++) {
		fill_turn(runner, mbufs);
		for (enum side side = SIDE_CLIENT; side <= SIDE_SERVER; side++)
			turn_by_stage(runner, side, mbufs[side], &sums[side]);
		finish(runner);
	}
	for (enum side side = SIDE_CLIENT; side <= SIDE_SERVER; side++) {
		const struct stamps *sum = &sums[side];

		sides[side] = (double)(sum->receive + sum->look_up + sum->apply + sum->send) /
			      (ROUND_TURNS * PORT_BURST);
		if (result->side[side] == 0 || sides[side] < result->side[side])
			result->side[side] = sides[side];
	}
	all = (sides[0] + sides[1]) / 2;
	if (result->receive + result->look_up + result->apply + result->send != 0 &&
	    all >= result->receive + result->look_up + result->apply + result->send)
		return;
	result->receive =
		(double)(sums[0].receive + sums[1].receive) / (ROUND_TURNS * TURN_PACKETS);
	result->look_up =
		(double)(sums[0].look_up + sums[1].look_up) / (ROUND_TURNS * TURN_PACKETS);
	result->apply = (double)(sums[0].apply + sums[1].apply) / (ROUND_TURNS * TURN_PACKETS);
	result->send = (double)(sums[0].send + sums[1].send) / (ROUND_TURNS * TURN_PACKETS);
}

static int compare_floats(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return x < y ? -1 : x > y;
}

// A round counts only while the other worker works, too.
static void run_rounds(struct runner *runner)
{
	struct measured *result = runner->result;
	uint32_t count = 0;
	uint64_t end;

	for (uint32_t i = 0; i < 8; i++)
		round_whole(runner);
	end = rte_rdtsc() + (uint64_t)(runner->options->seconds * (double)rte_get_tsc_hz());
	while (rte_rdtsc() < end && count < ROUNDS_MAX) {
		uint64_t before = runner->other ? runner->other->turns : 0;
		double cycles = round_whole(runner);

		if (runner->other && runner->other->turns - before < ROUND_TURNS * 3 / 4)
			continue;
		runner->rounds[count++] = (float)cycles;
	}
	require(count > 0, "the workers never ran at the same time");
	qsort(runner->rounds, count, sizeof(float), compare_floats);
	result->least = (double)runner->rounds[0];
	result->median = (double)runner->rounds[count / 2];
	atomic_store(&runner->done, true);
	if (runner->other || runner->options->packets != PACKETS_LATER)
		return;
	end = rte_rdtsc() + (uint64_t)(runner->options->seconds * (double)rte_get_tsc_hz());
	while (rte_rdtsc() < end)
		round_by_stage(runner, result);
}

static void run_fixed(struct runner *runner)
{
	struct rte_mbuf *mbufs[2][PORT_BURST];

	for (uint32_t i = 0; i < runner->options->turns; i++) {
		fill_turn(runner, mbufs);
		pipeline_measured_turn(runner, mbufs);
		finish(runner);
		runner->result->packets += TURN_PACKETS;
	}
}

// ---- the beginning

static void pass(struct runner *runner, enum side side, enum traffic_kind kind, uint32_t first,
		 uint32_t count)
{
	struct rte_mbuf *mbufs[PORT_BURST];
	struct engine *engine = runner->world->engine;

	fill_burst(runner, side, kind, first, true, mbufs, count);
	receive(runner, side, mbufs, count);
	if (runner->options->nat && side == SIDE_CLIENT) {
		transmit_flush_all(runner->worker);
		traffic_learn(runner->traffic, runner->world, runner->worker->index, first, count);
	}
	// Owners get first packets, and where a worker has no queue it hands over.
	for (uint32_t round = 0; round < 2; round++)
		for (uint32_t i = 0; i < engine->options.worker_count; i++) {
			hand_over_receive(engine->workers[i]);
			transmit_flush_all(engine->workers[i]);
			rte_rcu_qsbr_quiescent(engine->readers, i);
		}
	count -= world_take_sent(runner->world, 0);
	if (engine->options.worker_count > 1)
		count -= world_take_sent(runner->world, 1);
	if (count)
		say_drops(runner);
	require(count == 0, "a packet of a new connection was lost");
}

static void open_connections(struct runner *runner)
{
	uint32_t all = runner->options->connections;

	for (uint32_t first = 0; first < all; first += PORT_BURST) {
		uint32_t count = RTE_MIN(all - first, (uint32_t)PORT_BURST);
		bool tcp = runner->traffic->tcp;

		pass(runner, SIDE_CLIENT, tcp ? TRAFFIC_SYN : TRAFFIC_DATA, first, count);
		pass(runner, SIDE_SERVER, tcp ? TRAFFIC_SYN_ACK : TRAFFIC_DATA, first, count);
		if (tcp)
			pass(runner, SIDE_CLIENT, TRAFFIC_DATA, first, count);
	}
	require(flow_table_count(runner->worker->flows) == all, "not all connections are there");
}

static void *runner_main(void *argument)
{
	struct runner *runner = argument;
	struct engine *engine = runner->world->engine;
	uint32_t index = runner->worker->index;

	if (runner->other || !runner->options->turns) {
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET(index, &set);
		pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
	}
	rte_thread_register();
	rte_rcu_qsbr_thread_register(engine->readers, index);
	rte_rcu_qsbr_thread_online(engine->readers, index);
	runner->worker->tables = runner->world->tables;
	pthread_barrier_wait(runner->barrier);
	if (index == 0 && runner->options->packets != PACKETS_FIRST)
		open_connections(runner);
	pthread_barrier_wait(runner->barrier);
	if (runner->options->packets == PACKETS_FIRST)
		first_run(runner->world, runner->options, runner->traffic, runner->worker);
	else if (runner->options->turns)
		run_fixed(runner);
	else
		run_rounds(runner);
	pthread_barrier_wait(runner->barrier);
	rte_rcu_qsbr_thread_offline(engine->readers, index);
	rte_rcu_qsbr_thread_unregister(engine->readers, index);
	rte_thread_unregister();
	return NULL;
}

void measure(struct world *world, const struct pipeline_options *options, struct measured results[])
{
	static struct runner runners[2];
	struct traffic traffic;
	pthread_barrier_t barrier;

	traffic_open(&traffic, options, world);
	pthread_barrier_init(&barrier, NULL, options->workers);
	for (uint32_t i = 0; i < options->workers; i++) {
		runners[i] = (struct runner){
			.world = world,
			.options = options,
			.traffic = &traffic,
			.worker = world->engine->workers[i],
			.other = options->workers > 1 ? &runners[!i] : NULL,
			.barrier = &barrier,
			.result = &results[i],
			.rounds = malloc(ROUNDS_MAX * sizeof(float)),
		};
		require(runners[i].rounds != NULL, "no memory");
	}
	for (uint32_t i = 0; i < options->workers; i++)
		require(pthread_create(&runners[i].thread, NULL, runner_main, &runners[i]) == 0,
			"no thread");
	for (uint32_t i = 0; i < options->workers; i++) {
		pthread_join(runners[i].thread, NULL);
		free(runners[i].rounds);
	}
	traffic_close(&traffic);
}
