// A connection to a front-end: its messages are read and answered as they come, without waiting
// for any. Whoever sends half of one, or does not read the answers, waits alone.

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "port/vhost_user/features.h"
#include "port/vhost_user/vhost_user.h"

// Others are to have their turn, too.
#define MESSAGES_A_TURN 16

static void guest_close(struct vhost_guest *guest)
{
	struct vhost_port *port = guest->port;

	vhost_guest_end(guest);
	TAILQ_REMOVE(&port->guests, guest, entry);
	port->guest_count--;
	if (guest->readable)
		event_free(guest->readable);
	if (guest->writable)
		event_free(guest->writable);
	vhost_message_clear(&guest->message);
	close(guest->socket);
	free(guest);
}

static void connection_end(struct vhost_guest *guest)
{
	struct vhost_port *port = guest->port;
	bool served = guest->serial;

	guest_close(guest);
	if (!port->server && TAILQ_EMPTY(&port->guests))
		vhost_client_ended(port, served);
}

static void refusal_log(struct vhost_guest *guest, const struct error *err)
{
	if (vhost_may_log(guest->port))
		log_warning("request of a workload refused",
			    log_text("port", guest->port->port.name),
			    log_text("device", guest->port->path),
			    log_text("request", vhost_request_name(guest->message.header.request)),
			    log_text("reason", err->text));
}

// Sends what is left of the answer; nothing is read before all of it has gone. False: nobody is
// there to read it.
static bool reply_send(struct vhost_guest *guest)
{
	while (guest->reply_sent < guest->reply_size) {
		ssize_t size =
			send(guest->socket, guest->reply + guest->reply_sent,
			     guest->reply_size - guest->reply_sent, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (size < 0 && errno == EAGAIN) {
			event_del(guest->readable);
			return event_add(guest->writable, NULL) == 0;
		}
		if (size < 0 && errno != EINTR)
			return false;
		if (size > 0)
			guest->reply_sent += (uint32_t)size;
	}
	return true;
}

static bool reply(struct vhost_guest *guest)
{
	struct vhost_message_header *header = &guest->message.header;

	header->flags = VHOST_FLAG_VERSION | VHOST_FLAG_REPLY;
	memcpy(guest->reply, header, sizeof(*header));
	memcpy(guest->reply + sizeof(*header), &guest->message.payload, header->size);
	guest->reply_size = (uint32_t)sizeof(*header) + header->size;
	guest->reply_sent = 0;
	return reply_send(guest);
}

// Handles the message that has come. False: the connection is to end.
static bool message_take(struct vhost_guest *guest)
{
	struct vhost_message *message = &guest->message;
	bool wanted = message->header.flags & VHOST_FLAG_NEED_REPLY &&
		      guest->protocol_features & FEATURE(PROTOCOL_REPLY_ACK);
	enum vhost_answer answer;
	struct error err;
	bool go_on = true;

	answer = vhost_request_handle(guest, message, &err);
	if (answer == VHOST_REFUSED)
		refusal_log(guest, &err);
	if (answer == VHOST_REPLY) {
		go_on = reply(guest);
	} else if (wanted) {
		message->payload.number = answer == VHOST_REFUSED;
		message->header.size = sizeof(message->payload.number);
		go_on = reply(guest);
	} else if (answer == VHOST_REFUSED) {
		// There is no other way to say it.
		go_on = false;
	}
	vhost_message_clear(message);
	return go_on;
}

static void on_readable(evutil_socket_t fd, short what, void *context)
{
	struct vhost_guest *guest = context;

	for (int i = 0; i < MESSAGES_A_TURN; i++) {
		struct error err;

		switch (vhost_message_read(guest->socket, &guest->message, &err)) {
		case VHOST_READ_PART:
			return;
		case VHOST_READ_WRONG:
			refusal_log(guest, &err);
			connection_end(guest);
			return;
		case VHOST_READ_END:
			connection_end(guest);
			return;
		case VHOST_READ_MESSAGE:
			break;
		}
		if (!message_take(guest)) {
			connection_end(guest);
			return;
		}
		if (guest->reply_sent < guest->reply_size)
			return;
	}
}

static void on_writable(evutil_socket_t fd, short what, void *context)
{
	struct vhost_guest *guest = context;

	if (!reply_send(guest) ||
	    (guest->reply_sent == guest->reply_size && event_add(guest->readable, NULL) < 0))
		connection_end(guest);
}

// Who has connected and is not ready to send and receive makes room; the oldest first.
static bool room_make(struct vhost_port *port)
{
	struct vhost_guest *guest;

	if (port->guest_count < GUESTS_MAX)
		return true;
	TAILQ_FOREACH(guest, &port->guests, entry)
	{
		if (guest->running)
			continue;
		guest_close(guest);
		return true;
	}
	return false;
}

struct vhost_guest *vhost_connection_open(struct vhost_port *port, int socket)
{
	struct event_base *base = port->environment->base;
	struct vhost_guest *guest = room_make(port) ? calloc(1, sizeof(*guest)) : NULL;

	if (!guest) {
		close(socket);
		if (vhost_may_log(port))
			log_warning("workload refused", log_text("port", port->port.name),
				    log_text("device", port->path),
				    log_text("reason", "too many connections"),
				    log_number("max", GUESTS_MAX));
		return NULL;
	}
	guest->port = port;
	guest->socket = socket;
	for (uint32_t i = 0; i < RINGS_MAX; i++)
		guest->vrings[i].kick_fd = guest->vrings[i].call_fd = -1;
	TAILQ_INSERT_TAIL(&port->guests, guest, entry);
	port->guest_count++;
	guest->readable = event_new(base, socket, EV_READ | EV_PERSIST, on_readable, guest);
	guest->writable = event_new(base, socket, EV_WRITE, on_writable, guest);
	if (!guest->readable || !guest->writable || event_add(guest->readable, NULL) < 0) {
		guest_close(guest);
		return NULL;
	}
	return guest;
}

void vhost_connections_close(struct vhost_port *port)
{
	while (!TAILQ_EMPTY(&port->guests))
		guest_close(TAILQ_FIRST(&port->guests));
}
