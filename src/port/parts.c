#include "port/parts.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool port_parts_add(struct port_parts *parts, uint32_t kind, const void *data, uint32_t size,
		    const int *fds, uint32_t fd_count)
{
	struct port_part *grown = realloc(parts->part, (parts->count + 1) * sizeof(*parts->part));
	uint8_t *copy = malloc(size ? size : 1);

	if (grown)
		parts->part = grown;
	if (!grown || !copy || fd_count > PORT_PART_FDS_MAX) {
		free(copy);
		return false;
	}
	if (size)
		memcpy(copy, data, size);
	grown[parts->count] =
		(struct port_part){.kind = kind, .size = size, .data = copy, .fd_count = fd_count};
	for (uint32_t i = 0; i < fd_count; i++)
		grown[parts->count].fds[i] = fds[i];
	parts->count++;
	return true;
}

struct port_part *port_parts_take(struct port_parts *parts, uint32_t kind)
{
	if (parts->next == parts->count || parts->part[parts->next].kind != kind)
		return NULL;
	return &parts->part[parts->next++];
}

int port_part_fd(struct port_part *part)
{
	int fd;

	if (!part->fd_count)
		return -1;
	fd = part->fds[0];
	part->fd_count--;
	memmove(part->fds, part->fds + 1, part->fd_count * sizeof(int));
	return fd;
}

void port_parts_clear(struct port_parts *parts, bool received)
{
	for (uint32_t i = 0; i < parts->count; i++) {
		for (uint32_t j = 0; received && j < parts->part[i].fd_count; j++)
			close(parts->part[i].fds[j]);
		free(parts->part[i].data);
	}
	free(parts->part);
	*parts = (struct port_parts){0};
}
