#include "port/neighbours.h"

#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define ANSWER_SIZE 32768
// Between two looks at the interface, and how many.
#define PAUSE_US 5000
#define LOOKS	 2000
// IF_OPER_UP, whose header does not go together with net/if.h.
#define OPERATIONAL 6

// In a network namespace.
struct asking {
	int questions;
	int orders;
	int index;
};

struct link_question {
	struct nlmsghdr header;
	struct ifinfomsg link;
};

struct neighbour_message {
	struct nlmsghdr header;
	struct ndmsg neighbour;
	// NDA_DST.
	char address[RTA_SPACE(16)];
};

static int netlink_open(void)
{
	const struct timeval patience = {.tv_sec = 1};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

static bool sends(const struct asking *asking)
{
	struct link_question question = {
		.header = {.nlmsg_len = sizeof(question),
			   .nlmsg_type = RTM_GETLINK,
			   .nlmsg_flags = NLM_F_REQUEST},
		.link = {.ifi_index = asking->index},
	};
	_Alignas(struct nlmsghdr) char answer[ANSWER_SIZE];
	struct nlmsghdr *header = (void *)answer;
	struct rtattr *at;
	ssize_t length;
	int left;

	if (send(asking->questions, &question, sizeof(question), 0) < 0)
		return false;
	length = recv(asking->questions, answer, sizeof(answer), 0);
	if (length < 0 || !NLMSG_OK(header, (uint32_t)length) || header->nlmsg_type != RTM_NEWLINK)
		return false;
	at = IFLA_RTA(NLMSG_DATA(header));
	left = (int)IFLA_PAYLOAD(header);
	for (; RTA_OK(at, left); at = RTA_NEXT(at, left)) {
		if (at->rta_type == IFLA_OPERSTATE)
			return *(const uint8_t *)RTA_DATA(at) == OPERATIONAL;
	}
	return false;
}

static void forget(const struct asking *asking, struct nlmsghdr *header)
{
	const struct ndmsg *found = NLMSG_DATA(header);
	struct rtattr *at = (void *)((char *)NLMSG_DATA(header) + NLMSG_ALIGN(sizeof(*found)));
	int left = (int)NLMSG_PAYLOAD(header, sizeof(*found));
	struct neighbour_message order = {
		.header = {.nlmsg_type = RTM_DELNEIGH, .nlmsg_flags = NLM_F_REQUEST},
		.neighbour = {.ndm_family = found->ndm_family, .ndm_ifindex = found->ndm_ifindex},
	};

	if (found->ndm_ifindex != asking->index ||
	    !(found->ndm_state & (NUD_INCOMPLETE | NUD_FAILED)))
		return;
	for (; RTA_OK(at, left); at = RTA_NEXT(at, left)) {
		if (at->rta_type != NDA_DST || RTA_ALIGN(at->rta_len) > sizeof(order.address))
			continue;
		memcpy(order.address, at, at->rta_len);
		order.header.nlmsg_len = (uint32_t)(offsetof(struct neighbour_message, address) +
						    RTA_ALIGN(at->rta_len));
		send(asking->orders, &order, order.header.nlmsg_len, 0);
		return;
	}
}

static void forget_unanswered(const struct asking *asking)
{
	struct neighbour_message question = {
		.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ndmsg)),
			   .nlmsg_type = RTM_GETNEIGH,
			   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.neighbour = {.ndm_ifindex = asking->index},
	};
	_Alignas(struct nlmsghdr) char answer[ANSWER_SIZE];
	ssize_t length;

	if (send(asking->questions, &question, question.header.nlmsg_len, 0) < 0)
		return;
	while ((length = recv(asking->questions, answer, sizeof(answer), 0)) > 0) {
		uint32_t left = (uint32_t)length;

		for (struct nlmsghdr *header = (void *)answer; NLMSG_OK(header, left);
		     header = NLMSG_NEXT(header, left)) {
			if (header->nlmsg_type != RTM_NEWNEIGH)
				return;
			forget(asking, header);
		}
	}
}

static void asking_end(struct asking *asking)
{
	if (asking->questions >= 0)
		close(asking->questions);
	if (asking->orders >= 0)
		close(asking->orders);
	free(asking);
}

static void *ask_again(void *argument)
{
	struct asking *asking = argument;

	for (unsigned int i = 0; i < LOOKS; i++) {
		if (sends(asking)) {
			forget_unanswered(asking);
			break;
		}
		usleep(PAUSE_US);
	}
	asking_end(asking);
	return NULL;
}

void neighbours_ask_again(const char *interface)
{
	struct asking *asking = calloc(1, sizeof(*asking));
	pthread_t thread;

	if (!asking)
		return;
	asking->questions = netlink_open();
	asking->orders = netlink_open();
	asking->index = (int)if_nametoindex(interface);
	if (asking->questions >= 0 && asking->orders >= 0 && asking->index &&
	    pthread_create(&thread, NULL, ask_again, asking) == 0)
		pthread_detach(thread);
	else
		asking_end(asking);
}
