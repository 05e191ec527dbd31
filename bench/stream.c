// Steady streams of numbered datagrams between two workloads, and what becomes of them: how many
// are lost, how long each is on its way, how long none arrives.
//
//   stream CONNECTIONS END END     END is NAMESPACE,INTERFACE,MAC,ADDRESS; NAMESPACE is a file, or
//                                  - where only the other end is this program's
//
// On standard input: `rate N` (datagrams a second from each end), `flood` (as many as there can
// be), `take` (says what became of those sent since the last time, as a line of JSON). It ends with
// its standard input. Frames go by packet sockets and are of a UDP connection each in turn; the
// kernel says when each came, so that delays of this program count neither as loss nor as gap.

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

// Between two turns, where it does not flood.
#define TURN_NS 100000
#define BURST	64
// What is late by more is left out: nobody is to be flooded.
#define LATE_NS 2000000
// Time for what is on its way, before it is lost.
#define SETTLE_NS 200000000
#define SECOND_NS 1000000000
// Datagrams of which it is known what became of them, the newest.
#define KNOWN	    (1u << 22)
#define RING_FRAMES 16384
#define RING_FRAME  256
// Beyond all connections, until the other end sends, too.
#define OPENING	     1000
#define CLIENT_PORT  1024
#define CLIENT_PORTS 60000
#define SERVER_PORT  5000
#define FRAME_SIZE   sizeof(struct frame)

struct frame {
	struct ether_header ether;
	struct iphdr ip;
	struct udphdr udp;
	uint64_t number;
	uint8_t padding[10];
} __attribute__((packed));

struct end {
	const char *interface;
	uint8_t mac[ETH_ALEN];
	uint32_t address;
	int fd;
	uint8_t *ring;
	unsigned int ring_at;
	// What it sends.
	struct frame frames[BURST];
	struct iovec parts[BURST];
	struct mmsghdr messages[BURST];
};

// One direction. Times are of CLOCK_REALTIME, in nanoseconds; numbers begin with 1.
struct way {
	struct end *from;
	struct end *to;
	// Of a datagram by its number; 0: it came.
	uint64_t *sent_at;
	uint64_t sent;
	uint64_t last;
	uint64_t last_at;
	// Since the last report.
	uint64_t first;
	uint64_t received;
	uint64_t gap;
	uint64_t longest;
	uint64_t since;
};

static unsigned int connections;

static void die(const char *what)
{
	fprintf(stderr, "stream: %s: %s\n", what, errno ? strerror(errno) : "not understood");
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

static void socket_open(struct end *end, const char *namespace)
{
	struct tpacket_req ring = {.tp_block_size = 1 << 20,
				   .tp_block_nr = RING_FRAMES * RING_FRAME >> 20,
				   .tp_frame_size = RING_FRAME,
				   .tp_frame_nr = RING_FRAMES};
	struct sockaddr_ll where = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP)};
	int fd = open(namespace, O_RDONLY), version = TPACKET_V2, one = 1, send = 8 << 20;

	if (fd < 0 || setns(fd, CLONE_NEWNET) != 0)
		die(namespace);
	close(fd);
	end->fd = socket(AF_PACKET, SOCK_RAW, 0);
	where.sll_ifindex = (int)if_nametoindex(end->interface);
	if (end->fd < 0 || !where.sll_ifindex)
		die(end->interface);
	if (setsockopt(end->fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) ||
	    setsockopt(end->fd, SOL_PACKET, PACKET_RX_RING, &ring, sizeof(ring)) ||
	    setsockopt(end->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) ||
	    setsockopt(end->fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)) ||
	    setsockopt(end->fd, SOL_SOCKET, SO_SNDBUFFORCE, &send, sizeof(send)) ||
	    bind(end->fd, (struct sockaddr *)&where, sizeof(where)))
		die(end->interface);
	end->ring = mmap(NULL, (size_t)RING_FRAMES * RING_FRAME, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_POPULATE, end->fd, 0);
	if (end->ring == MAP_FAILED)
		die(end->interface);
}

static void end_open(struct end *end, char *text)
{
	char *namespace = strtok(text, ","), *interface = strtok(NULL, ",");
	char *mac = strtok(NULL, ","), *address = strtok(NULL, ",");
	struct in_addr parsed;
	uint8_t *at = end->mac;

	errno = 0;
	if (!address || inet_aton(address, &parsed) != 1 ||
	    sscanf(mac, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", at, at + 1, at + 2, at + 3, at + 4,
		   at + 5) != ETH_ALEN)
		die(text);
	end->interface = interface;
	end->address = parsed.s_addr;
	end->fd = -1;
	if (strcmp(namespace, "-") != 0)
		socket_open(end, namespace);
}

static uint16_t header_sum(const struct iphdr *ip)
{
	uint16_t words[sizeof(*ip) / 2];
	uint32_t sum = 0;

	memcpy(words, ip, sizeof(words));
	for (unsigned int i = 0; i < sizeof(*ip) / 2; i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t) ~(sum + (sum >> 16));
}

// All but ports and number. UDP over IPv4 may go without a checksum.
static void frames_init(struct end *from, const struct end *to)
{
	struct frame frame = {
		.ether.ether_type = htons(ETHERTYPE_IP),
		.ip = {.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP},
	};
	struct iphdr ip;

	memcpy(frame.ether.ether_dhost, to->mac, ETH_ALEN);
	memcpy(frame.ether.ether_shost, from->mac, ETH_ALEN);
	frame.ip.tot_len = htons(FRAME_SIZE - sizeof(frame.ether));
	frame.ip.frag_off = htons(IP_DF);
	frame.ip.saddr = from->address;
	frame.ip.daddr = to->address;
	ip = frame.ip;
	frame.ip.check = header_sum(&ip);
	frame.udp.len = htons(FRAME_SIZE - sizeof(frame.ether) - sizeof(frame.ip));
	for (unsigned int i = 0; i < BURST; i++) {
		from->frames[i] = frame;
		from->parts[i] = (struct iovec){&from->frames[i], FRAME_SIZE};
		from->messages[i].msg_hdr =
			(struct msghdr){.msg_iov = &from->parts[i], .msg_iovlen = 1};
	}
}

static void way_send(struct way *way, bool is_client, unsigned int count)
{
	struct end *end = way->from;
	uint64_t now = now_ns();

	if (count > BURST)
		count = BURST;
	for (unsigned int i = 0; i < count; i++) {
		uint64_t number = way->sent + i + 1;
		uint32_t index = (uint32_t)(number % connections);
		uint16_t client = htons((uint16_t)(CLIENT_PORT + index % CLIENT_PORTS));
		uint16_t server = htons((uint16_t)(SERVER_PORT + index / CLIENT_PORTS));

		end->frames[i].udp.source = is_client ? client : server;
		end->frames[i].udp.dest = is_client ? server : client;
		end->frames[i].number = number;
		way->sent_at[number % KNOWN] = now;
	}
	// What the interface has no room for is lost there, as in a card.
	for (unsigned int done = 0; done < count;) {
		int sent = sendmmsg(end->fd, end->messages + done, count - done, MSG_DONTWAIT);

		done += sent > 0 ? (unsigned int)sent : 1;
	}
	way->sent += count;
}

static void way_received(struct way *way, uint64_t number, uint64_t at)
{
	uint64_t *sent = &way->sent_at[number % KNOWN], since;

	if (number > way->sent || number + KNOWN <= way->sent || !*sent)
		return;
	if (at > *sent && at - *sent > way->longest)
		way->longest = at - *sent;
	if (number > way->last) {
		// Since when one was on its way. What the sender itself was late with is no gap.
		since = number == way->last + 1 ? *sent : way->sent_at[(way->last + 1) % KNOWN];
		if (since < way->last_at)
			since = way->last_at;
		if (at > since && at - since > way->gap)
			way->gap = at - since;
		way->last = number;
		way->last_at = at;
	}
	*sent = 0;
	way->received += number >= way->first;
}

static void way_receive(struct way *way)
{
	struct end *end = way->to;

	for (unsigned int i = 0; end->ring && i < RING_FRAMES; i++) {
		struct tpacket2_hdr *head = (void *)(end->ring + (size_t)end->ring_at * RING_FRAME);
		const struct frame *frame = (const void *)((uint8_t *)head + head->tp_mac);

		if (!(__atomic_load_n(&head->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
			return;
		if (head->tp_snaplen >= FRAME_SIZE && frame->ip.saddr == way->from->address &&
		    frame->ip.protocol == IPPROTO_UDP)
			way_received(way, frame->number,
				     (uint64_t)head->tp_sec * SECOND_NS + head->tp_nsec);
		__atomic_store_n(&head->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
		end->ring_at = (end->ring_at + 1) % RING_FRAMES;
	}
}

// What became of those up to a number, at a time.
static void way_report(struct way *way, uint64_t until, uint64_t now)
{
	uint64_t lost = 0, since;

	for (uint64_t number = way->first; number <= until; number++)
		lost += number + KNOWN > way->sent && way->sent_at[number % KNOWN];
	if (way->last < until) {
		since = way->sent_at[(way->last + 1) % KNOWN];
		since = since < way->last_at ? way->last_at : since;
		way->gap = now > since && now - since > way->gap ? now - since : way->gap;
	}
	printf("{\"seconds\": %.6f, \"sent\": %" PRIu64 ", \"received\": %" PRIu64
	       ", \"lost\": %" PRIu64 ", \"gapMs\": %.3f, \"longestMs\": %.3f}",
	       (double)(now - way->since) / 1e9, until + 1 - way->first, way->received, lost,
	       (double)way->gap / 1e6, (double)way->longest / 1e6);
	way->since = now;
	way->first = until + 1;
	way->received = way->gap = way->longest = 0;
}

static void priority_set(bool real_time)
{
	struct sched_param parameters = {.sched_priority = real_time ? 10 : 0};

	sched_setscheduler(0, real_time ? SCHED_FIFO : SCHED_OTHER, &parameters);
}

struct pace {
	uint64_t rate;
	bool floods;
	uint64_t since;
	uint64_t sent;
};

static void pace_set(struct pace *pace, uint64_t rate, bool floods)
{
	*pace = (struct pace){.rate = rate, .floods = floods, .since = now_ns()};
	// Beside a loop of such a priority that never sleeps nothing else would run.
	priority_set(!floods);
}

static void turn(struct pace *pace, struct way ways[2])
{
	uint64_t passed = now_ns() - pace->since, due = passed * pace->rate / SECOND_NS;
	uint64_t late = pace->rate * LATE_NS / SECOND_NS;

	if (due > pace->sent + late + 1)
		pace->sent = due - 1;
	due = pace->floods ? BURST : due - pace->sent;
	if (due > BURST)
		due = BURST;
	for (unsigned int i = 0; i < 2; i++) {
		// Connections are opened by the first end.
		if (i == 1 && ways[0].from->fd >= 0 && ways[0].sent < connections + OPENING)
			continue;
		if (due && ways[i].from->fd >= 0)
			way_send(&ways[i], i == 0, (unsigned int)due);
	}
	pace->sent += due;
	for (unsigned int i = 0; i < 2; i++)
		way_receive(&ways[i]);
}

// The next turn's time; whole ones that were missed are left out.
static void sleep_turn(struct timespec *next)
{
	struct timespec now;

	next->tv_nsec += TURN_NS;
	if (next->tv_nsec >= SECOND_NS) {
		next->tv_nsec -= SECOND_NS;
		next->tv_sec++;
	}
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (now.tv_sec > next->tv_sec ||
	    (now.tv_sec == next->tv_sec && now.tv_nsec > next->tv_nsec))
		*next = now;
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, next, NULL);
}

// False: standard input has ended.
static bool command(struct pace *pace, uint64_t *take_at)
{
	struct pollfd input = {.fd = 0, .events = POLLIN};
	char line[64];
	ssize_t got;

	if (poll(&input, 1, 0) <= 0)
		return true;
	got = read(0, line, sizeof(line) - 1);
	if (got <= 0)
		return false;
	line[got] = 0;
	errno = 0;
	if (strncmp(line, "rate ", 5) == 0)
		pace_set(pace, strtoull(line + 5, NULL, 10), false);
	else if (strcmp(line, "flood\n") == 0)
		pace_set(pace, 0, true);
	else if (strcmp(line, "take\n") == 0)
		*take_at = now_ns();
	else
		die(line);
	return true;
}

int main(int argc, char **argv)
{
	static struct end ends[2];
	struct way ways[2] = {{.from = &ends[0], .to = &ends[1], .first = 1},
			      {.from = &ends[1], .to = &ends[0], .first = 1}};
	uint64_t take_at = 0, until[2] = {0};
	struct timespec next;
	struct pace pace;

	if (argc != 4) {
		fprintf(stderr, "usage: stream CONNECTIONS END END\n");
		return 2;
	}
	connections = (unsigned int)strtoul(argv[1], NULL, 10);
	for (unsigned int i = 0; i < 2; i++)
		end_open(&ends[i], argv[2 + i]);
	for (unsigned int i = 0; i < 2; i++) {
		frames_init(&ends[i], &ends[!i]);
		ways[i].sent_at = calloc(KNOWN, sizeof(*ways[i].sent_at));
		if (!ways[i].sent_at || !connections)
			die("CONNECTIONS");
	}
	mlockall(MCL_CURRENT);
	pace_set(&pace, 0, false);
	printf("ready\n");
	fflush(stdout);
	clock_gettime(CLOCK_MONOTONIC, &next);
	for (;;) {
		bool asked = take_at != 0;

		if (!asked && !command(&pace, &take_at))
			return 0;
		turn(&pace, ways);
		for (unsigned int i = 0; i < 2 && !asked && take_at; i++)
			until[i] = ways[i].sent;
		if (take_at && now_ns() > take_at + SETTLE_NS) {
			printf("[");
			for (unsigned int i = 0; i < 2; i++) {
				way_report(&ways[i], until[i], now_ns());
				printf(i == 0 ? ", " : "]\n");
			}
			fflush(stdout);
			take_at = 0;
		}
		if (!pace.floods)
			sleep_turn(&next);
	}
}
