#include "control/upgrade/frame.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// A part of a port with a message of vhost-user's is the largest.
#define FRAME_SIZE_MAX 65536

void upgrade_frame_clear(struct upgrade_frame *frame)
{
	for (uint32_t i = 0; i < frame->fd_count; i++)
		close(frame->fds[i]);
	if (frame->content)
		sluice__handover__v1__frame__free_unpacked(frame->content, NULL);
	frame->content = NULL;
	frame->fd_count = 0;
}

int upgrade_frame_fd(struct upgrade_frame *frame)
{
	int fd;

	if (!frame->fd_count)
		return -1;
	fd = frame->fds[0];
	frame->fd_count--;
	memmove(frame->fds, frame->fds + 1, frame->fd_count * sizeof(int));
	return fd;
}

static int wait_for(int channel, short events, unsigned int seconds, struct error *err)
{
	struct pollfd one = {.fd = channel, .events = events};
	int result;

	do
		result = poll(&one, 1, (int)seconds * 1000);
	while (result < 0 && errno == EINTR);
	if (result < 0)
		return error_errno(err, "the other process");
	if (result == 0)
		return error_set(err, "the other process says nothing for %u s", seconds);
	return 0;
}

int upgrade_frame_send(int channel, const Sluice__Handover__V1__Frame *content, const int *fds,
		       uint32_t fd_count, struct error *err)
{
	size_t size = sluice__handover__v1__frame__get_packed_size(content);
	union {
		struct cmsghdr header;
		uint8_t bytes[CMSG_SPACE(FRAME_FDS_MAX * sizeof(int))];
	} control = {0};
	uint8_t *bytes = malloc(size ? size : 1);
	struct iovec part = {bytes, size};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	int result = -1;

	if (!bytes || fd_count > FRAME_FDS_MAX || size > FRAME_SIZE_MAX) {
		error_set(err, "a frame of %zu bytes and %u descriptors", size, fd_count);
		free(bytes);
		return -1;
	}
	sluice__handover__v1__frame__pack(content, bytes);
	if (fd_count) {
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, fd_count * sizeof(int));
	}
	for (;;) {
		if (sendmsg(channel, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
			result = 0;
			break;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN) {
			error_set(err, "the other process has ended");
			break;
		}
		if (wait_for(channel, POLLOUT, FRAME_SECONDS, err) < 0)
			break;
	}
	free(bytes);
	return result;
}

static void take_fds(struct upgrade_frame *frame, struct msghdr *message)
{
	for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part;
	     part = CMSG_NXTHDR(message, part)) {
		size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
			continue;
		memcpy(frame->fds, CMSG_DATA(part), count * sizeof(int));
		frame->fd_count = (uint32_t)count;
	}
}

int upgrade_frame_receive(int channel, struct upgrade_frame *frame, unsigned int seconds,
			  struct error *err)
{
	union {
		struct cmsghdr header;
		uint8_t bytes[CMSG_SPACE(FRAME_FDS_MAX * sizeof(int))];
	} control;
	uint8_t *bytes = malloc(FRAME_SIZE_MAX);
	struct iovec part = {bytes, FRAME_SIZE_MAX};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	ssize_t size = -1;

	upgrade_frame_clear(frame);
	if (!bytes)
		return error_set(err, "no memory");
	if (wait_for(channel, POLLIN, seconds, err) == 0) {
		do
			size = recvmsg(channel, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		while (size < 0 && errno == EINTR);
		if (size <= 0)
			error_set(err, "the other process has ended");
	}
	if (size > 0) {
		take_fds(frame, &message);
		if (!(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
			frame->content =
				sluice__handover__v1__frame__unpack(NULL, (size_t)size, bytes);
		if (!frame->content)
			error_set(err, "the other process says what can't be read");
	}
	free(bytes);
	if (frame->content)
		return 0;
	upgrade_frame_clear(frame);
	return -1;
}

int upgrade_frame_expect(int channel, struct upgrade_frame *frame,
			 Sluice__Handover__V1__Frame__ContentCase kind, unsigned int seconds,
			 struct error *err)
{
	if (upgrade_frame_receive(channel, frame, seconds, err) < 0)
		return -1;
	if (frame->content->content_case == kind)
		return 0;
	if (frame->content->content_case == SLUICE__HANDOVER__V1__FRAME__CONTENT_FAILED)
		error_set(err, "%.400s", frame->content->failed->reason);
	else
		error_set(err, "the other process says something else than it should");
	upgrade_frame_clear(frame);
	return -1;
}
