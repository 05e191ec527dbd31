#include "worker/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_errno.h>
#include <rte_malloc.h>

#include "base/log.h"
#include "flow/keep.h"
#include "layer/compile.h"
#include "port/bus_error.h"
#include "port/offload.h"
#include "worker/health.h"
#include "worker/worker.h"

// In a second: many addresses may move, and no workload may have all connections judged anew for
// each of its packets.
#define JUDGEMENTS_MAX 32

// Microseconds between two looks at whether a worker has woken.
#define WAKE_POLL 20

// Data room of a packet buffer: an Ethernet frame of usual size in one piece. Behind it are bytes
// that nobody uses: completing a checksum, rte_vhost 22.11 (a net_vhost device) may write one byte
// too far.
#define PACKET_ROOM  RTE_MBUF_DEFAULT_BUF_SIZE
#define PACKET_GUARD 64
#define PACKET_CACHE 256

int packet_context_offset = -1;

static int open_inboxes(struct engine *engine, struct worker *worker, struct error *err)
{
	uint32_t workers = engine->options.worker_count;

	for (uint32_t i = 0; i < workers; i++) {
		char name[RTE_RING_NAMESIZE];

		if (i == worker->index)
			continue;
		snprintf(name, sizeof(name), "inbox-%u-%u", worker->index, i);
		worker->inbox[i] = rte_ring_create(name, HAND_OVER_RING, SOCKET_ID_ANY,
						   RING_F_SP_ENQ | RING_F_SC_DEQ);
		if (!worker->inbox[i])
			return error_set(err, "no memory for the workers' rings: %s",
					 rte_strerror(rte_errno));
	}
	return 0;
}

static int worker_open(struct engine *engine, uint32_t index, struct error *err)
{
	struct worker *worker = rte_zmalloc("worker", sizeof(*worker), RTE_CACHE_LINE_SIZE);

	if (!worker)
		return error_set(err, "no memory for worker %u", index);
	engine->workers[index] = worker;
	worker->engine = engine;
	worker->index = index;
	worker->cpu = engine->options.cpus[index];
	worker->flows = engine->flows;
	worker->tables = atomic_load(&engine->tables);
	if (!delays_open(worker) || !replicator_open(&worker->replicator) ||
	    !multicast_open(&worker->multicast))
		return error_set(err, "no memory for worker %u", index);
	worker->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (worker->event_fd < 0)
		return error_errno(err, "eventfd");
	if (!reject_open(worker) || !fragments_open(worker) || !helper_open(worker))
		return error_errno(err, "memory for worker %u", index);
	return open_inboxes(engine, worker, err);
}

// Runs on the control thread, so it has none, nor rings.
static int tracer_open(struct engine *engine, struct error *err)
{
	struct worker *tracer = rte_zmalloc("tracer", sizeof(*tracer), RTE_CACHE_LINE_SIZE);

	if (!tracer)
		return error_set(err, "no memory for tracing");
	tracer->engine = engine;
	tracer->index = engine->options.worker_count;
	tracer->flows = engine->flows;
	tracer->event_fd = -1;
	engine->tracer = tracer;
	if (!fragments_open(tracer))
		return error_set(err, "no memory for tracing");
	return 0;
}

static void guard_buffer(struct rte_mempool *pool, void *opaque, void *object, unsigned int index)
{
	((struct rte_mbuf *)object)->buf_len -= PACKET_GUARD;
}

// Takes a flag that DPDK leaves to programs.
static bool reserve_flags(void)
{
	static const struct rte_mbuf_dynflag ufo = {.name = "sluice_ufo"};
	static const struct rte_mbuf_dynflag cwr = {.name = "sluice_cwr"};
	static const struct rte_mbuf_dynflag datagram = {.name = "sluice_datagram"};

	return rte_mbuf_dynflag_register_bitnum(&ufo, PACKET_UFO_BIT) == PACKET_UFO_BIT &&
	       rte_mbuf_dynflag_register_bitnum(&cwr, PACKET_CWR_BIT) == PACKET_CWR_BIT &&
	       rte_mbuf_dynflag_register_bitnum(&datagram, MBUF_DATAGRAM_BIT) == MBUF_DATAGRAM_BIT;
}

// The table's clock goes on from process to process.
static void set_clock(struct engine *engine)
{
	uint64_t nanoseconds = flow_keep_nanoseconds(engine->flows->clock);

	engine->clock = rte_rdtsc() - (uint64_t)((__uint128_t)nanoseconds *
						 engine->cycles_per_second / 1000000000);
}

static int open_shared(struct engine *engine, struct error *err)
{
	static const struct rte_mbuf_dynfield context = {
		.name = "sluice_packet_context",
		.size = sizeof(struct packet_context),
		.align = 8,
	};
	uint32_t readers = engine->options.worker_count + 1;
	struct error why;
	uint32_t packets = (uint32_t)(((uint64_t)engine->options.packet_memory << 20) /
				      (PACKET_ROOM + PACKET_GUARD + sizeof(struct rte_mbuf) + 64));

	packet_context_offset = rte_mbuf_dynfield_register(&context);
	if (packet_context_offset < 0 || !reserve_flags())
		return error_set(err, "no room in packet buffers: %s", rte_strerror(rte_errno));
	engine->readers =
		rte_zmalloc("readers", rte_rcu_qsbr_get_memsize(readers), RTE_CACHE_LINE_SIZE);
	if (!engine->readers || rte_rcu_qsbr_init(engine->readers, readers) != 0)
		return error_set(err, "no memory for the readers' state");
	rte_rcu_qsbr_thread_register(engine->readers, engine->options.worker_count);
	engine->pool = rte_pktmbuf_pool_create("packets", packets, PACKET_CACHE, 0,
					       PACKET_ROOM + PACKET_GUARD, SOCKET_ID_ANY);
	if (!engine->pool)
		return error_set(err, "no memory for %u packet buffers (--memory): %s", packets,
				 rte_strerror(rte_errno));
	rte_mempool_obj_iter(engine->pool, guard_buffer, NULL);
	if (!neighbours_open(&engine->neighbours))
		return error_set(err, "no memory for next hops");
	if (flow_table_open(engine->options.connections, engine->options.worker_count,
			    engine->readers, engine->options.keep, &engine->flows, err) < 0)
		return -1;
	set_clock(engine);
	bus_error_guard();
	bus_error_keep(engine->flows->memory.start, engine->flows->memory.size);
	if (engine->options.flow_offload &&
	    flow_offload_open(engine->flows, &engine->offload, &why) < 0)
		log_warning("no connection goes on in the kernel", log_text("reason", why.text));
	return 0;
}

// Several threads may do so at a time, each after its change: whoever is last sees the last one.
static void offload_follow(struct engine *engine)
{
	uint32_t generation;

	if (!engine->offload)
		return;
	do {
		generation = tables_generation(atomic_load(&engine->tables));
		flow_offload_set_generation(engine->offload, generation);
	} while (tables_generation(atomic_load(&engine->tables)) != generation);
}

int engine_prepare(const struct engine_options *options, struct tables *tables,
		   struct engine **result, struct error *err)
{
	struct engine *engine = calloc(1, sizeof(*engine));

	if (!engine)
		return error_set(err, "no memory");
	engine->options = *options;
	engine->cycles_per_second = rte_get_tsc_hz();
	engine->start = rte_rdtsc();
	if (open_shared(engine, err) < 0) {
		engine_close(engine);
		return -1;
	}
	atomic_store(&engine->tables, tables);
	atomic_store(&engine->generation, tables->generation);
	offload_follow(engine);
	if (tracer_open(engine, err) < 0) {
		engine_close(engine);
		return -1;
	}
	for (uint32_t i = 0; i < options->worker_count; i++)
		if (worker_open(engine, i, err) < 0) {
			engine_close(engine);
			return -1;
		}
	*result = engine;
	return 0;
}

int engine_start(struct engine *engine, struct error *err)
{
	uint32_t count = 0;

	while (count < engine->options.worker_count) {
		struct worker *worker = engine->workers[count];

		if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0)
			break;
		pthread_setname_np(worker->thread, "sluice-worker");
		count++;
	}
	for (uint32_t i = 0; i < count; i++)
		while (!atomic_load(&engine->workers[i]->started))
			usleep(100);
	if (count < engine->options.worker_count)
		return error_set(err, "worker %u can't be started", count);
	return 0;
}

int engine_open(const struct engine_options *options, struct tables *tables, struct engine **result,
		struct error *err)
{
	if (engine_prepare(options, tables, result, err) < 0)
		return -1;
	if (engine_start(*result, err) == 0)
		return 0;
	engine_close(*result);
	return -1;
}

static void worker_close(struct worker *worker)
{
	if (atomic_load(&worker->started)) {
		atomic_store(&worker->stop, true);
		worker_wake(worker);
		pthread_join(worker->thread, NULL);
	}
}

static void worker_free(struct worker *worker)
{
	for (uint32_t i = 0; i < ENGINE_WORKERS_MAX; i++) {
		struct rte_mbuf *mbuf;

		while (worker->inbox[i] &&
		       rte_ring_sc_dequeue(worker->inbox[i], (void **)&mbuf) == 0)
			rte_pktmbuf_free(mbuf);
		rte_ring_free(worker->inbox[i]);
	}
	replicator_close(&worker->replicator);
	multicast_close(&worker->multicast);
	if (worker->event_fd >= 0)
		close(worker->event_fd);
	reject_close(worker);
	delays_close(worker);
	uplink_queues_close(worker);
	landing_free(&worker->landing);
	fragments_close(worker);
	helper_close(worker);
	rte_free(worker);
}

void engine_close(struct engine *engine)
{
	for (uint32_t i = 0; i < engine->options.worker_count; i++)
		if (engine->workers[i])
			worker_close(engine->workers[i]);
	for (uint32_t i = 0; i < engine->options.worker_count; i++)
		if (engine->workers[i])
			worker_free(engine->workers[i]);
	if (engine->tracer)
		fragments_close(engine->tracer);
	rte_free(engine->tracer);
	flow_offload_close(engine->offload);
	if (engine->flows)
		flow_table_close(engine->flows);
	neighbours_close(&engine->neighbours);
	// The pool stays: drivers may hold packets of it until their ports are closed.
	free(engine);
}

static bool poll_add(struct poll_list *list, struct poll_entry entry)
{
	struct poll_entry *grown = realloc(list->entries, (list->count + 1) * sizeof(*grown));

	if (!grown)
		return false;
	list->entries = grown;
	grown[list->count++] = entry;
	return true;
}

// Queue q of the port with number n goes to worker (n + q) modulo their count: ports spread, and
// stay where they are.
static bool assign_queues(struct engine *engine, struct tables *tables)
{
	uint32_t workers = engine->options.worker_count;

	for (uint32_t number = 1; number < tables->port_count; number++) {
		struct port_binding *binding = &tables->ports[number];

		if (!binding->port)
			continue;
		// A VLAN's packets come and go by the queues of its parent.
		binding->first_worker = (binding->parent ? binding->parent : number) % workers;
		if (binding->parent)
			continue;
		for (uint16_t queue = 0; queue < binding->port->queues; queue++) {
			uint32_t worker = (binding->first_worker + queue) % workers;
			struct poll_entry entry = {
				.port = (uint16_t)number,
				.queue = queue,
				.offload = binding->port->offload_interface,
			};

			binding->port->wake_fds[queue] = engine->workers[worker]->event_fd;
			binding->port->landings[queue] = &engine->workers[worker]->landing;
			if (binding->port->driver->assigned)
				binding->port->driver->assigned(binding->port, queue);
			if (!poll_add(&tables->polls[worker], entry))
				return false;
		}
	}
	return true;
}

// Wakes all workers, and waits until none of them blocks any more where it did before. While one
// does, the kernel keeps the descriptors open that it waits for; the last close of one would then
// be that worker's, and to take an interface down takes milliseconds.
static void wake_all(struct engine *engine)
{
	uint32_t sleeps[ENGINE_WORKERS_MAX];

	for (uint32_t i = 0; i < engine->options.worker_count; i++) {
		sleeps[i] = atomic_load(&engine->workers[i]->sleeps);
		worker_wake(engine->workers[i]);
	}
	for (uint32_t i = 0; i < engine->options.worker_count; i++) {
		const struct worker *worker = engine->workers[i];

		while (atomic_load(&worker->sleeping) && atomic_load(&worker->sleeps) == sleeps[i])
			usleep(WAKE_POLL);
	}
}

struct tables *engine_publish(struct engine *engine, struct tables *tables, struct error *err)
{
	struct tables *old;

	if (!assign_queues(engine, tables)) {
		error_set(err, "no memory for the workers' ports");
		return NULL;
	}
	old = atomic_exchange(&engine->tables, tables);
	offload_follow(engine);
	wake_all(engine);
	rte_rcu_qsbr_synchronize(engine->readers, RTE_QSBR_THRID_INVALID);
	return old;
}

uint32_t engine_next_generation(struct engine *engine)
{
	uint32_t next;

	do
		next = atomic_fetch_add(&engine->generation, 1) + 1;
	while (!next);
	return next;
}

void engine_judge_anew(struct engine *engine, uint32_t now)
{
	struct tables *tables;

	if (!second_count_take(&engine->judgements, now, JUDGEMENTS_MAX, false)) {
		atomic_store(&engine->judge_later, true);
		return;
	}
	// Others still at earlier tables end in this turn, and what they decide is theirs alone.
	tables = atomic_load(&engine->tables);
	__atomic_store_n(&tables->generation, engine_next_generation(engine), __ATOMIC_RELEASE);
	offload_follow(engine);
}

void engine_read_begin(struct engine *engine)
{
	rte_rcu_qsbr_thread_online(engine->readers, engine->options.worker_count);
}

void engine_read_end(struct engine *engine)
{
	rte_rcu_qsbr_thread_offline(engine->readers, engine->options.worker_count);
}

void engine_settle(struct engine *engine)
{
	rte_rcu_qsbr_synchronize(engine->readers, RTE_QSBR_THRID_INVALID);
}

struct engine_worker_stats engine_worker_stats(const struct engine *engine, uint32_t index)
{
	const struct worker *worker = engine->workers[index];

	return (struct engine_worker_stats){
		.cpu = worker->cpu,
		.packets = worker->packets,
		.cycles = rte_rdtsc() - engine->start,
		.busy_cycles = worker->busy_cycles,
		.connections_opened = engine->flows->worker[index].created,
		.connections_ended = engine->flows->worker[index].removed,
	};
}

uint64_t engine_worker_turns(const struct engine *engine, uint32_t index)
{
	return __atomic_load_n(&engine->workers[index]->turns, __ATOMIC_RELAXED);
}

const struct walk_counts *engine_layer_counts(const struct engine *engine, uint32_t index)
{
	return &engine->workers[index]->layer_counts;
}

uint64_t engine_untranslated(const struct engine *engine)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < engine->options.worker_count; i++)
		sum += helper_untranslated(engine->workers[i]);
	return sum;
}

struct conflicts *engine_conflicts(const struct engine *engine, uint32_t index)
{
	return &engine->workers[index]->conflicts;
}

uint32_t engine_now(const struct engine *engine)
{
	return (uint32_t)((rte_rdtsc() - engine->clock) / engine->cycles_per_second);
}
