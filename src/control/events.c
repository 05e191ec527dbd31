// What becomes of devices, as soon as the kernel or a driver says so: interfaces and PCI devices
// that come, go or have another link. What it means is found out by looking (control_look), so that
// nothing is lost with a message that is: each second all is looked at in any case.

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/control.h"
#include "model/memory.h"

// Milliseconds in which what happens to many is gathered. The uplink is looked at at once.
#define GATHER_MS 20

#define LINKS_SEEN   1024
#define UEVENT_GROUP 1	     // of the kernel's own
#define IFF_LOWER    0x10000 // IFF_LOWER_UP, which <net/if.h> does not have

// What was heard of an interface last.
struct link_seen {
	int index;
	unsigned int flags;
};

struct device_events {
	struct control *control;
	int changed_fd; // written to by drivers and workers
	int links_fd;
	int devices_fd;
	struct event *changed;
	struct event *links;
	struct event *devices;
	struct event *gather;
	struct link_seen seen[LINKS_SEEN]; // by index; of several with one place the last
};

static void on_gather(evutil_socket_t fd, short what, void *context)
{
	struct device_events *events = context;

	control_look(events->control);
	watch_statuses(events->control);
}

static void happened(struct device_events *events)
{
	struct timeval time = {.tv_usec = GATHER_MS * 1000};
	struct control *control = events->control;
	struct control_port *uplink =
		control->port_count > PORT_UPLINK ? control->ports[PORT_UPLINK] : NULL;

	if (uplink && uplink->port && uplink->port->driver->check)
		uplink->port->driver->check(uplink->port);
	if (control_uplink_differs(control))
		control_look(control);
	if (!evtimer_pending(events->gather, NULL))
		evtimer_add(events->gather, &time);
}

static void on_changed(evutil_socket_t fd, short what, void *context)
{
	uint64_t count;

	if (read(fd, &count, sizeof(count)) == sizeof(count))
		happened(context);
}

// Much else changes all the time: who opens an interface makes it promiscuous, for one.
static bool link_matters(struct device_events *events, struct nlmsghdr *header)
{
	const struct ifinfomsg *link = NLMSG_DATA(header);
	struct link_seen *seen;
	unsigned int flags;

	if (header->nlmsg_len < NLMSG_LENGTH(sizeof(*link)))
		return false;
	seen = &events->seen[(unsigned int)link->ifi_index % LINKS_SEEN];
	if (header->nlmsg_type == RTM_DELLINK)
		seen->index = 0;
	if (header->nlmsg_type != RTM_NEWLINK)
		return header->nlmsg_type == RTM_DELLINK;
	flags = link->ifi_flags & (IFF_UP | IFF_RUNNING | IFF_LOWER);
	if (seen->index == link->ifi_index && seen->flags == flags)
		return false;
	*seen = (struct link_seen){.index = link->ifi_index, .flags = flags};
	return true;
}

static void on_links(evutil_socket_t fd, short what, void *context)
{
	struct device_events *events = context;
	uint64_t buffer[8192 / sizeof(uint64_t)];
	bool matters = false;
	ssize_t size;

	while ((size = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT)) > 0) {
		struct nlmsghdr *header = (struct nlmsghdr *)buffer;
		size_t left = (size_t)size;

		for (; NLMSG_OK(header, left); header = NLMSG_NEXT(header, left))
			matters |= link_matters(events, header);
	}
	// ENOBUFS: some were lost.
	if (matters || (size < 0 && errno == ENOBUFS))
		happened(events);
}

// ACTION@PATH and then KEY=VALUE, each with a zero behind it.
static bool device_matters(const char *text, size_t size)
{
	for (const char *end = text + size; text < end; text += strlen(text) + 1)
		if (strcmp(text, "SUBSYSTEM=pci") == 0)
			return true;
	return false;
}

static void on_devices(evutil_socket_t fd, short what, void *context)
{
	char buffer[8192];
	bool matters = false;
	ssize_t size;

	while ((size = recv(fd, buffer, sizeof(buffer) - 1, MSG_DONTWAIT)) > 0) {
		buffer[size] = 0;
		matters |= device_matters(buffer, (size_t)size);
	}
	if (matters || (size < 0 && errno == ENOBUFS))
		happened(context);
}

static int netlink_open(int protocol, uint32_t groups)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = groups};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static bool listen_to(struct device_events *events, int fd, event_callback_fn callback,
		      struct event **event)
{
	if (fd < 0)
		return false;
	*event = event_new(events->control->base, fd, EV_READ | EV_PERSIST, callback, events);
	return *event && event_add(*event, NULL) == 0;
}

struct device_events *device_events_open(struct control *control, struct error *err)
{
	struct device_events *events = memory_new(sizeof(*events));

	events->control = control;
	events->changed_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	events->links_fd = netlink_open(NETLINK_ROUTE, RTMGRP_LINK);
	events->devices_fd = netlink_open(NETLINK_KOBJECT_UEVENT, UEVENT_GROUP);
	events->gather = evtimer_new(control->base, on_gather, events);
	if (!events->gather ||
	    !listen_to(events, events->changed_fd, on_changed, &events->changed) ||
	    !listen_to(events, events->links_fd, on_links, &events->links) ||
	    !listen_to(events, events->devices_fd, on_devices, &events->devices)) {
		error_errno(err, "events of devices");
		device_events_close(events);
		return NULL;
	}
	control->environment.changed_fd = events->changed_fd;
	return events;
}

static void event_end(struct event *event, int fd)
{
	if (event)
		event_free(event);
	if (fd >= 0)
		close(fd);
}

void device_events_close(struct device_events *events)
{
	if (!events)
		return;
	event_end(events->changed, events->changed_fd);
	event_end(events->links, events->links_fd);
	event_end(events->devices, events->devices_fd);
	if (events->gather)
		event_free(events->gather);
	free(events);
}
