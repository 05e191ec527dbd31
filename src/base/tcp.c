#include "base/tcp.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int tcp_address_parse(const char *text, struct tcp_address *address, struct error *err)
{
	const char *colon = strrchr(text, ':');
	size_t length = colon ? (size_t)(colon - text) : 0;
	const char *host = text;
	unsigned long port;
	char *end;

	if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
		host++;
		length -= 2;
		if (!length)
			colon = NULL;
	} else if (memchr(text, ':', length) || memchr(text, '[', length)) {
		colon = NULL; // an IPv6 address without brackets
	}
	if (!colon || length >= sizeof(address->host))
		return error_set(err, "'%.200s' is not HOST:PORT", text);
	port = strtoul(colon + 1, &end, 10);
	if (!isdigit((unsigned char)colon[1]) || *end || port > 65535)
		return error_set(err, "'%.200s' is no number from 0 to 65535", colon + 1);
	memcpy(address->host, host, length);
	address->host[length] = 0;
	snprintf(address->port, sizeof(address->port), "%lu", port);
	return 0;
}

static int socket_listen(const struct addrinfo *one, bool all, int backlog)
{
	int fd = socket(one->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1, off = 0, failure;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (all && one->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, one->ai_addr, one->ai_addrlen) == 0 && listen(fd, backlog) == 0)
		return fd;
	failure = errno;
	close(fd);
	errno = failure;
	return -1;
}

int tcp_listen(const char *text, int backlog, struct error *err)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
	struct tcp_address address;
	struct addrinfo *found;
	int fd = -1, result;
	bool all;

	if (tcp_address_parse(text, &address, err) < 0)
		return -1;
	all = !*address.host;
	result = getaddrinfo(all ? NULL : address.host, address.port, &hints, &found);
	if (result != 0)
		return error_set(err, "%.200s: %s", text, gai_strerror(result));
	error_set(err, "%.200s: no address", text);
	// Of all addresses the IPv6 one serves IPv4, too.
	for (int round = 0; round < 2 && fd < 0; round++) {
		for (const struct addrinfo *one = found; one && fd < 0; one = one->ai_next) {
			if (all && (one->ai_family != AF_INET6) != round)
				continue;
			fd = socket_listen(one, all, backlog);
			if (fd < 0)
				error_errno(err, "%.200s", text);
		}
	}
	freeaddrinfo(found);
	return fd;
}

int tcp_connect(const struct tcp_address *address, unsigned seconds, struct error *err)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
	struct timeval limit = {.tv_sec = (time_t)seconds}, none = {0};
	int result =
		getaddrinfo(*address->host ? address->host : NULL, address->port, &hints, &found);
	int fd = -1, one = 1;

	if (result != 0)
		return error_set(err, "%s", gai_strerror(result));
	error_set(err, "no address");
	for (const struct addrinfo *place = found; place && fd < 0; place = place->ai_next) {
		fd = socket(place->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd >= 0) {
			// It bounds connect, too (socket(7)).
			setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
			if (connect(fd, place->ai_addr, place->ai_addrlen) == 0)
				continue;
		}
		error_set(err, "%s", errno == EINPROGRESS ? strerror(ETIMEDOUT) : strerror(errno));
		if (fd >= 0)
			close(fd);
		fd = -1;
	}
	freeaddrinfo(found);
	if (fd >= 0) {
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof(none));
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	}
	return fd;
}

void tcp_address_print(const struct sockaddr *address, char *text, size_t size)
{
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
	char host[INET6_ADDRSTRLEN] = "?";

	if (address->sa_family == AF_INET) {
		inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
		snprintf(text, size, "%s:%u", host, ntohs(v4->sin_port));
	} else if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
		inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], host, sizeof(host));
		snprintf(text, size, "%s:%u", host, ntohs(v6->sin6_port));
	} else {
		inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
		snprintf(text, size, "[%s]:%u", host, ntohs(v6->sin6_port));
	}
}
