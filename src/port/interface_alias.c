#include "port/interface_alias.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_SIZE 32768

struct link_request {
	struct nlmsghdr header;
	struct ifinfomsg link;
	char attributes[INTERFACE_ALIAS_SIZE + RTA_LENGTH(0)];
};

// The answer's length; -1: errno.
static ssize_t ask(struct link_request *request, void *answer, size_t size)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	struct nlmsghdr *header = answer;
	ssize_t length = -1;

	if (fd < 0)
		return -1;
	if (send(fd, request, request->header.nlmsg_len, 0) >= 0)
		length = recv(fd, answer, size, 0);
	close(fd);
	if (length < 0)
		return -1;
	if (!NLMSG_OK(header, (uint32_t)length)) {
		errno = EPROTO;
		return -1;
	}
	if (header->nlmsg_type == NLMSG_ERROR) {
		errno = -((const struct nlmsgerr *)NLMSG_DATA(header))->error;
		return errno ? -1 : length;
	}
	return length;
}

static struct link_request request_make(const char *name, uint16_t type)
{
	return (struct link_request){
		.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)),
			   .nlmsg_type = type,
			   .nlmsg_flags = NLM_F_REQUEST},
		.link = {.ifi_index = (int)if_nametoindex(name)},
	};
}

int interface_alias_set(const char *name, const char *alias, struct error *err)
{
	struct link_request request = request_make(name, RTM_SETLINK);
	struct rtattr *attribute = (void *)request.attributes;
	size_t length = strnlen(alias, INTERFACE_ALIAS_SIZE - 1);
	char answer[1024];

	request.header.nlmsg_flags |= NLM_F_ACK;
	attribute->rta_type = IFLA_IFALIAS;
	attribute->rta_len = (unsigned short)RTA_LENGTH(length);
	memcpy(RTA_DATA(attribute), alias, length);
	request.header.nlmsg_len += (uint32_t)RTA_ALIGN(attribute->rta_len);
	return ask(&request, answer, sizeof(answer)) < 0 ? error_errno(err, "%s: alias", name) : 0;
}

bool interface_alias_is(const char *name, const char *alias)
{
	struct link_request request = request_make(name, RTM_GETLINK);
	_Alignas(struct nlmsghdr) char answer[ANSWER_SIZE];
	struct nlmsghdr *header = (void *)answer;
	struct rtattr *attribute;
	int left;

	if (!request.link.ifi_index || ask(&request, answer, sizeof(answer)) < 0 ||
	    header->nlmsg_type != RTM_NEWLINK)
		return false;
	attribute = IFLA_RTA(NLMSG_DATA(header));
	left = (int)IFLA_PAYLOAD(header);
	for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left))
		if (attribute->rta_type == IFLA_IFALIAS)
			return strncmp(RTA_DATA(attribute), alias, RTA_PAYLOAD(attribute)) == 0 &&
			       strlen(alias) <= RTA_PAYLOAD(attribute);
	return false;
}
