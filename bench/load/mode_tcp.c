// Connections from handshake to close. The client, port 0, keeps the state of those that are active
// and sends again what is not answered; the server, port 1, answers by what it sees.

#include <stdlib.h>

#include "load.h"

#define INDICES	 ((uint32_t)CLIENT_PORTS * SERVER_PORTS)
#define RETRY_MS 200
#define RETRIES	 5
// Slots that are looked at before a place for a new connection is given up until the next burst.
#define TRIES 8

// What the client has sent last: 0 SYN, 1 to --exchanges data, then FIN.
struct connection {
	uint32_t index;
	uint32_t stage;
	uint64_t sent_at;
	uint8_t retries;
	bool active;
};

struct client {
	// By connection number, modulo their number.
	struct connection *connections;
	uint32_t mask;
	uint32_t active;
	uint32_t active_max;
	uint32_t next;
	// The next one to be looked at for an answer that is missing.
	uint32_t watched;
	struct pace pace;
};

static bool tcp_init(struct load *load)
{
	struct client *client = calloc(1, sizeof(*client));
	uint32_t slots = 1;

	load->mode_state = client;
	if (!client)
		return false;
	// Room enough that old ones seldom stand in the way of new ones.
	while (slots < 2 * load->options->active)
		slots *= 2;
	client->mask = slots - 1;
	client->active_max = load->options->active;
	client->pace.rate = load->options->rate;
	client->connections = calloc(slots, sizeof(client->connections[0]));
	return client->connections != NULL;
}

static bool tcp_looks(const struct load *load)
{
	return true;
}

// What the client sends in a stage.
static struct segment stage_segment(const struct load *load, const struct connection *connection)
{
	const unsigned int exchanges = load->options->exchanges;
	const uint32_t payload = load->ends[0].frames.payload_length;
	struct segment segment = {.index = connection->index};

	if (connection->stage == 0) {
		segment.sequence = TCP_CLIENT_START;
		segment.flags = TCP_SYN;
		return segment;
	}
	segment.sequence = TCP_CLIENT_START + 1 + (connection->stage - 1) * payload;
	segment.acknowledged = TCP_SERVER_START + 1;
	segment.has_payload = connection->stage <= exchanges;
	segment.flags = segment.has_payload ? TCP_ACK | TCP_PSH : TCP_ACK | TCP_FIN;
	return segment;
}

static void stage_next(struct load *load, struct connection *connection, uint64_t now)
{
	connection->stage++;
	connection->retries = 0;
	connection->sent_at = now;
	segment_queue_push(&load->ends[0].queue, stage_segment(load, connection));
}

static void acknowledge(struct load *load, uint32_t index, uint32_t sequence, uint32_t acknowledged)
{
	segment_queue_push(&load->ends[0].queue, (struct segment){.index = index,
								  .sequence = sequence,
								  .acknowledged = acknowledged,
								  .flags = TCP_ACK});
}

static void client_arrived(struct load *load, const struct segment *segment, uint64_t now)
{
	struct client *client = load->mode_state;
	struct connection *connection = &client->connections[segment->index & client->mask];
	const uint32_t exchanges = load->options->exchanges;
	const uint32_t payload = load->ends[0].frames.payload_length;
	uint32_t end = TCP_CLIENT_START + 1 + exchanges * payload;

	// Of one that is closed: the answer to what was sent twice.
	if (!connection->active || connection->index != segment->index)
		return;
	if (connection->stage == 0 && segment->flags == (TCP_SYN | TCP_ACK)) {
		load->opened++;
		acknowledge(load, segment->index, TCP_CLIENT_START + 1, TCP_SERVER_START + 1);
		stage_next(load, connection, now);
	} else if (connection->stage >= 1 && connection->stage <= exchanges &&
		   segment->flags == TCP_ACK &&
		   segment->acknowledged == TCP_CLIENT_START + 1 + connection->stage * payload) {
		load->answered++;
		stage_next(load, connection, now);
	} else if (connection->stage > exchanges && segment->flags == (TCP_FIN | TCP_ACK) &&
		   segment->acknowledged == end + 1) {
		load->closed++;
		acknowledge(load, segment->index, end + 1, TCP_SERVER_START + 2);
		connection->active = false;
		client->active--;
	}
}

static void server_arrived(struct load *load, const struct seen *seen)
{
	const struct segment *segment = &seen->segment;
	struct segment answer = {
		.index = segment->index,
		.sequence = TCP_SERVER_START + 1,
		.acknowledged = segment->sequence + seen->payload_length,
		.flags = TCP_ACK,
	};

	if (segment->flags == TCP_SYN) {
		answer.sequence = TCP_SERVER_START;
		answer.acknowledged++;
		answer.flags |= TCP_SYN;
	} else if (segment->flags & TCP_FIN) {
		answer.acknowledged++;
		answer.flags |= TCP_FIN;
	} else if (seen->payload_length == 0) {
		return;
	}
	segment_queue_push(&load->ends[1].queue, answer);
}

static void tcp_arrived(struct load *load, unsigned int side, const struct seen *seen, uint64_t now)
{
	if (side == 0)
		client_arrived(load, &seen->segment, now);
	else
		server_arrived(load, seen);
}

// Looks at some connections, in turn: what has waited too long is sent again, or given up.
static void client_watch(struct load *load, uint64_t now)
{
	struct client *client = load->mode_state;

	for (unsigned int i = 0; i < TRIES; i++) {
		struct connection *connection =
			&client->connections[client->watched++ & client->mask];

		if (!connection->active || now - connection->sent_at < load->hz / 1000 * RETRY_MS)
			continue;
		if (connection->retries++ == RETRIES) {
			connection->active = false;
			client->active--;
			continue;
		}
		connection->sent_at = now;
		if (segment_queue_has_room(&load->ends[0].queue))
			segment_queue_push(&load->ends[0].queue, stage_segment(load, connection));
	}
}

static unsigned int tcp_due(struct load *load, unsigned int side, uint64_t now)
{
	struct client *client = load->mode_state;
	unsigned int room = client->active_max - client->active;

	if (side == 1)
		return 0;
	client_watch(load, now);
	room = pace_due(&client->pace, now, load->hz, room < PORT_BURST ? room : PORT_BURST);
	// What is under way goes first.
	return load->ends[0].queue.count >= PORT_BURST ? 0 : room;
}

// A place for a connection of a number that comes next, or NULL.
static struct connection *client_place(struct client *client)
{
	for (unsigned int i = 0; i < TRIES; i++) {
		uint32_t index = client->next;
		struct connection *connection = &client->connections[index & client->mask];

		client->next = index + 1 == INDICES ? 0 : index + 1;
		if (connection->active)
			continue;
		*connection = (struct connection){.index = index, .active = true};
		client->active++;
		return connection;
	}
	return NULL;
}

static void tcp_fill(struct load *load, unsigned int side, struct burst *burst, uint64_t now)
{
	struct client *client = load->mode_state;
	struct end *end = &load->ends[0];
	unsigned int opened = 0;

	if (side == 1)
		return;
	while (burst->count < burst->room && client->active < client->active_max) {
		struct connection *connection = client_place(client);
		struct segment segment;

		if (!connection)
			break;
		connection->sent_at = now;
		segment = stage_segment(load, connection);
		burst->lengths[burst->count] =
			frame_write_segment(&end->frames, burst->frames[burst->count], &segment);
		burst->count++;
		opened++;
	}
	pace_spend(&client->pace, load->hz, opened);
}

static void tcp_free(struct load *load)
{
	struct client *client = load->mode_state;

	if (client)
		free(client->connections);
	free(client);
}

const struct mode_operations mode_tcp = {
	.init = tcp_init,
	.looks = tcp_looks,
	.arrived = tcp_arrived,
	.due = tcp_due,
	.fill = tcp_fill,
	.free = tcp_free,
};
