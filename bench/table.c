// The connection table alone, in one process without ports: what filling, finding, removing and
// ageing cost with so many connections. Cycles are ticks of the time stamp counter; each figure is
// of many short rounds, so that the least of them holds beside other programs.

#include <getopt.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_cycles.h>

#include "flow/state.h"
#include "flow/table.h"

#define BURST	   32
#define ROUND	   (32 * BURST)
#define ROUNDS_MAX 65536

static struct flow_table *table;
static struct rte_rcu_qsbr *readers;
static uint32_t connections = 1000000, most = 1048576;
static uint64_t cycles_per_second;
static uint64_t samples[ROUNDS_MAX];
static uint32_t sample_count;

// ---- figures

static void sample(uint64_t cycles)
{
	if (sample_count < ROUNDS_MAX)
		samples[sample_count++] = cycles;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

// Of the rounds so far, by `each` of what a round does.
static void report(const char *what, uint32_t each, const char *of)
{
	if (!sample_count)
		return;
	qsort(samples, sample_count, sizeof(samples[0]), compare);
	printf("%-34s %8.1f %8.1f %8.1f  cycles a %s\n", what, (double)samples[0] / each,
	       (double)samples[sample_count / 2] / each,
	       (double)samples[sample_count - sample_count / 10 - 1] / each, of);
	sample_count = 0;
}

// How long single calls take, whatever the number of them: counts by a 16th of a power of two.
static struct {
	uint64_t counts[64 * 16];
	uint64_t count, sum, longest;
} calls;

static void call(uint64_t cycles)
{
	unsigned int top = cycles ? 63 - (unsigned int)__builtin_clzll(cycles) : 0;
	uint64_t below = top >= 4 ? cycles >> (top - 4) & 15 : cycles << (4 - top) & 15;

	calls.counts[top * 16 + below]++;
	calls.count++;
	calls.sum += cycles;
	if (cycles > calls.longest)
		calls.longest = cycles;
}

// Cycles that this part of the calls does not exceed, to a 16th.
static uint64_t calls_within(double part)
{
	uint64_t rest = (uint64_t)((double)calls.count * (1 - part));

	for (unsigned int i = 64 * 16; i-- > 0;) {
		if (calls.counts[i] > rest) {
			uint64_t power = UINT64_C(1) << i / 16,
				 end = power + power / 16 * (i % 16 + 1);

			return end < calls.longest ? end : calls.longest;
		}
		rest -= calls.counts[i];
	}
	return 0;
}

// DPDK asks the system once it is initialised; this needs none of it.
static uint64_t measure_frequency(void)
{
	struct timespec from, to;
	uint64_t start, cycles;

	clock_gettime(CLOCK_MONOTONIC, &from);
	start = rte_rdtsc();
	do {
		clock_gettime(CLOCK_MONOTONIC, &to);
		cycles = rte_rdtsc() - start;
		to.tv_sec -= from.tv_sec;
		to.tv_nsec += to.tv_sec * 1000000000 - from.tv_nsec;
	} while (to.tv_nsec < 50000000);
	return cycles * 1000 / ((uint64_t)to.tv_nsec / 1000000);
}

static uint64_t random_next(void)
{
	static uint64_t state = 88172645463325252;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static double microseconds(uint64_t cycles)
{
	return (double)cycles * 1e6 / (double)cycles_per_second;
}

// The calls so far; and beside them calls of the same length and number, at most a second of them,
// that do nothing: what those take longer, other programs and the machine itself have taken.
static void report_calls(void)
{
	uint64_t usual = calls_within(0.5), count = calls.count;
	uint64_t end =
		rte_rdtsc() + (calls.sum < cycles_per_second ? calls.sum : cycles_per_second);

	printf("%-34s %8.1f %8.1f %8.1f  us\n", "  a call: 50 %, 99.999 %, longest",
	       microseconds(usual), microseconds(calls_within(0.99999)),
	       microseconds(calls.longest));
	memset(&calls, 0, sizeof(calls));
	for (uint64_t i = 0; i < count; i++) {
		uint64_t start = rte_rdtsc(), now;

		do
			now = rte_rdtsc();
		while (now - start < usual);
		call(now - start);
		if (now > end)
			break;
	}
	printf("%-34s %8.1f %8.1f %8.1f  us\n", "  as long, doing nothing",
	       microseconds(calls_within(0.5)), microseconds(calls_within(0.99999)),
	       microseconds(calls.longest));
	memset(&calls, 0, sizeof(calls));
}

// ---- connections: 16 servers, ports and addresses of clients count up

static struct flow_key key_of(uint32_t number)
{
	return (struct flow_key){
		.source = ip_from_v4(htonl(0x0a010000 + number / 50000)),
		.destination = ip_from_v4(htonl(0x0a020001 + number % 16)),
		.source_port = htons((uint16_t)(10000 + number % 50000)),
		.destination_port = htons(80),
		.network = 1,
		.protocol = IPPROTO_UDP,
	};
}

static void insert(uint32_t number, uint32_t now)
{
	struct flow flow = {.account = {.state = FLOW_STATE_UNREPLIED}};

	flow.direction[FLOW_ORIGINAL].key = key_of(number);
	flow.direction[FLOW_REPLY].key = flow_key_reverse(&flow.direction[FLOW_ORIGINAL].key, 1);
	if (!flow_table_insert(table, 0, &flow, now)) {
		fprintf(stderr, "table: no room for connection %u\n", number);
		exit(1);
	}
}

static void turn(void)
{
	rte_rcu_qsbr_quiescent(readers, 0);
}

// At two million a second: memory is brought in meanwhile. A call adds one, with what that makes
// the table do: splits.
static void fill(uint32_t now)
{
	uint64_t next = rte_rdtsc();

	for (uint32_t number = 0; number < connections;) {
		uint64_t start = rte_rdtsc();

		for (uint32_t i = 0; i < ROUND && number < connections; i++) {
			uint64_t before = rte_rdtsc();

			insert(number++, now);
			call(rte_rdtsc() - before);
		}
		sample(rte_rdtsc() - start);
		turn();
		next += ROUND * cycles_per_second / 2000000;
		while (rte_rdtsc() < next)
			rte_pause();
	}
	report("fill, 2 million a second", ROUND, "connection");
	report_calls();
}

// ---- what a burst of known packets does with the table

static uint64_t find_burst(const struct flow_key *keys)
{
	struct flow_hash hashes[BURST];
	flow_reference references[BURST];
	uint64_t found = 0;

	for (uint32_t i = 0; i < BURST; i++) {
		hashes[i] = flow_hash(&table->secret, &keys[i]);
		rte_prefetch0(flow_table_bucket(table, hashes[i]));
	}
	for (uint32_t i = 0; i < BURST; i++)
		references[i] = flow_table_candidate(table, flow_table_bucket(table, hashes[i]),
						     hashes[i].signature);
	for (uint32_t i = 0; i < BURST; i++) {
		struct flow *flow = flow_table_get(table, references[i]);

		if (references[i] && flow_table_matches(table, references[i], &keys[i])) {
			flow->account.packets[references[i] & 1]++;
			found++;
		}
	}
	return found;
}

static void find(bool absent)
{
	static struct flow_key keys[ROUND];
	uint64_t found = 0, asked = 0;

	for (uint32_t round = 0; round < 2000; round++) {
		uint64_t start;

		for (uint32_t i = 0; i < ROUND; i++) {
			uint32_t number = (uint32_t)(random_next() % connections);

			keys[i] = key_of(absent ? number + connections : number);
			if (random_next() & 1)
				keys[i] = flow_key_reverse(&keys[i], 1);
		}
		start = rte_rdtsc();
		for (uint32_t i = 0; i < ROUND; i += BURST)
			found += find_burst(&keys[i]);
		sample(rte_rdtsc() - start);
		asked += ROUND;
	}
	report(absent ? "look up, absent" : "look up, random", ROUND, "packet");
	// The quick lookup leaves some to the exact one.
	printf("%-34s %8.3f %%\n", "  found at once", 100.0 * (double)found / (double)asked);
}

// ---- new connections as fast as others end: as many a second as the table had, each a burst of 32
// in a turn. A connection ends after a second without packets.

static void renew(uint32_t now)
{
	static uint32_t times[FLOW_STATE_COUNT];
	static const uint32_t *by_network[] = {NULL, times};
	uint64_t second = cycles_per_second, passed = 0, ended = 0, begun = 0;
	uint64_t step = second * BURST / connections;
	uint32_t next = connections, per_round = connections / 16 / BURST * BURST;

	for (unsigned int i = 0; i < FLOW_STATE_COUNT; i++)
		times[i] = 1;
	table->worker[0].times = (struct flow_times){by_network, 2};
	for (unsigned int round = 0; round < 16 * 6; round++) {
		uint64_t start = rte_rdtsc();

		for (uint32_t i = 0; i < per_round; i += BURST) {
			struct flow_key keys[BURST];

			turn();
			for (uint32_t j = 0; j < BURST; j++) {
				keys[j] = key_of(next + j);
				flow_table_expect(table, flow_hash(&table->secret, &keys[j]));
				keys[j] = flow_key_reverse(&keys[j], 1);
				flow_table_expect(table, flow_hash(&table->secret, &keys[j]));
			}
			for (uint32_t j = 0; j < BURST; j++)
				insert(next++, now + (uint32_t)(passed / second));
			passed += step;
			ended += flow_table_age(table, 0, now + (uint32_t)(passed / second), step,
						second, second / 250000);
		}
		// By then as many end as begin.
		if (round >= 16 * 3)
			sample(rte_rdtsc() - start);
		else
			ended = 0;
		begun = round >= 16 * 3 ? begun + per_round : 0;
	}
	report("renew: add one, and one ends", per_round, "connection");
	printf("%-34s %8lu for %lu begun; %lu live\n", "  ended", ended, begun,
	       flow_table_count(table));
	table->worker[0].times = (struct flow_times){NULL, 0};
}

// ---- ageing, in turns of a loop that goes round 100 000 times a second

#define TURNS 100000

static void age(const char *what, uint32_t now, uint32_t seconds)
{
	uint64_t second = cycles_per_second;
	uint32_t ended = 0;

	for (uint32_t s = 0; s < seconds && flow_table_count(table); s++)
		for (uint32_t i = 0; i < TURNS && flow_table_count(table); i++) {
			uint64_t start = rte_rdtsc(), cycles;

			ended += flow_table_age(table, 0, now + s, second / TURNS, second,
						second / 250000);
			cycles = rte_rdtsc() - start;
			sample(cycles);
			call(cycles);
			turn();
		}
	if (ended)
		printf("%-34s %8.1f  cycles a connection\n", what, (double)calls.sum / ended);
	else
		printf("%-34s %8.2f %%  of a core\n", what,
		       100.0 * (double)calls.sum / (double)second / seconds);
	report("  a step", 1, "step");
	report_calls();
}

// Until nothing is left to give back: in turns as above, when few have been left for long enough.
static void shrink(uint32_t now)
{
	uint32_t idle = 0;

	flow_table_shrink(table, 0, now);
	while (idle < TURNS) {
		uint64_t start = rte_rdtsc();
		uint32_t done = flow_table_shrink(table, 0, now + 60);

		if (done)
			call(rte_rdtsc() - start);
		idle = done ? 0 : idle + 1;
		turn();
	}
	if (!calls.count)
		return;
	printf("%-34s %8.1f ms\n", "shrink, all of it",
	       (double)calls.sum * 1e3 / (double)cycles_per_second);
	report_calls();
	// What is left is the memory thread's.
	for (uint64_t end = rte_rdtsc() + cycles_per_second; rte_rdtsc() < end;)
		turn();
}

// ---- the whole

static void resident(const char *when)
{
	FILE *file = fopen("/proc/self/smaps_rollup", "r");
	unsigned long kib = 0, huge = 0, value;
	char line[256];

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "Rss: %lu", &value) == 1)
			kib += value;
		if (sscanf(line, "Shared_Hugetlb: %lu", &value) == 1 ||
		    sscanf(line, "ShmemPmdMapped: %lu", &value) == 1 ||
		    sscanf(line, "Private_Hugetlb: %lu", &value) == 1)
			huge += value;
	}
	if (file)
		fclose(file);
	printf("%-34s %8lu MiB, of huge pages %lu MiB\n", when, kib >> 10, huge >> 10);
}

int main(int argc, char **argv)
{
	uint64_t start;
	struct error err;
	int option;

	while ((option = getopt(argc, argv, "c:m:s")) != -1) {
		if (option == 'c')
			connections = (uint32_t)strtoul(optarg, NULL, 0);
		else if (option == 'm')
			most = (uint32_t)strtoul(optarg, NULL, 0);
		else if (option == 's')
			flow_memory_small_pages = true;
		else
			return 2;
	}
	if (most < connections)
		most = connections;
	readers = aligned_alloc(64, (rte_rcu_qsbr_get_memsize(1) + 63) / 64 * 64);
	rte_rcu_qsbr_init(readers, 1);
	rte_rcu_qsbr_thread_register(readers, 0);
	rte_rcu_qsbr_thread_online(readers, 0);
	cycles_per_second = measure_frequency();
	start = rte_rdtsc();
	if (flow_table_open(most, 1, readers, NULL, &table, &err) < 0) {
		fprintf(stderr, "table: %s\n", err.text);
		return 1;
	}
	printf("%u connections of at most %u, %s\n", connections, most,
	       table->memory.reserved ? "huge pages that were set aside" : "pages as they come");
	printf("%-34s %8s %8s %8s\n", "", "least", "median", "90 %");
	printf("%-34s %8.1f us\n", "open",
	       (double)(rte_rdtsc() - start) * 1e6 / (double)cycles_per_second);
	resident("memory, empty");
	fill(1000);
	resident("memory, full");
	find(false);
	find(true);
	age("age, nothing due", 1001, 2);
	age("age, looked at", 1017, 1);
	if (most / 3 >= connections)
		renew(1017);
	age("age, all ended", 1100, 60);
	shrink(1160);
	resident("memory, empty again");
	flow_table_close(table);
	return 0;
}
