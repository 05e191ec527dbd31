#include "base/numbers_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// The file: this, and for each list a struct list_header and its names, each behind its number and
// with a zero byte at its end.
struct file_header {
	char magic[8];
	uint64_t id;
	uint64_t size; // of what follows
	uint64_t checksum;
};

struct list_header {
	uint32_t count;
	uint32_t next;
};

static const char magic[8] = "sluicenm";

// FNV-1a
static uint64_t checksum(const char *bytes, size_t size, uint64_t id)
{
	uint64_t sum = UINT64_C(0xcbf29ce484222325) ^ id;

	for (size_t i = 0; i < size; i++)
		sum = (sum ^ (uint8_t)bytes[i]) * UINT64_C(0x100000001b3);
	return sum;
}

static size_t list_size(const struct numbers *numbers)
{
	size_t size = sizeof(struct list_header);

	for (uint32_t i = 1; i <= numbers->highest; i++)
		if (numbers->names[i])
			size += sizeof(uint32_t) + strlen(numbers->names[i]) + 1;
	return size;
}

static char *put(char *to, const void *from, size_t size)
{
	memcpy(to, from, size);
	return to + size;
}

static char *put_list(char *to, const struct numbers *numbers)
{
	struct list_header header = {.count = numbers->count, .next = numbers->next};

	to = put(to, &header, sizeof(header));
	for (uint32_t i = 1; i <= numbers->highest; i++) {
		if (!numbers->names[i])
			continue;
		to = put(to, &i, sizeof(i));
		to = put(to, numbers->names[i], strlen(numbers->names[i]) + 1);
	}
	return to;
}

static int write_all(int fd, const char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t written = write(fd, bytes, size);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return -1;
		bytes += written;
		size -= (size_t)written;
	}
	return 0;
}

// The file is in memory as the table is, so nothing has to be brought to a disk.
static int replace(const char *path, const char *bytes, size_t size, struct error *err)
{
	char made[PATH_MAX];
	int fd, result;

	snprintf(made, sizeof(made), "%s.new", path);
	fd = open(made, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return error_errno(err, "%s", made);
	result = write_all(fd, bytes, size);
	if (result < 0)
		error_errno(err, "%s", made);
	close(fd);
	if (result == 0 && rename(made, path) < 0)
		result = error_errno(err, "%s", path);
	if (result < 0)
		unlink(made);
	return result;
}

int numbers_file_write(const char *path, uint64_t id, struct numbers *const *lists,
		       unsigned int count, struct error *err)
{
	struct file_header header = {.id = id};
	char *bytes, *end;
	int result;

	for (unsigned int i = 0; i < count; i++)
		header.size += list_size(lists[i]);
	bytes = malloc(sizeof(header) + header.size);
	if (!bytes)
		return error_set(err, "no memory for the numbers of names");
	end = bytes + sizeof(header);
	for (unsigned int i = 0; i < count; i++)
		end = put_list(end, lists[i]);
	memcpy(header.magic, magic, sizeof(magic));
	header.checksum = checksum(bytes + sizeof(header), header.size, id);
	memcpy(bytes, &header, sizeof(header));
	result = replace(path, bytes, (size_t)(end - bytes), err);
	free(bytes);
	return result;
}

// ---- reading

static char *read_all(const char *path, size_t *size, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char *bytes = NULL;
	struct stat is;
	ssize_t got;

	if (fd < 0) {
		error_errno(err, "%s", path);
		return NULL;
	}
	if (fstat(fd, &is) == 0 && S_ISREG(is.st_mode))
		bytes = malloc((size_t)is.st_size + 1);
	got = bytes ? read(fd, bytes, (size_t)is.st_size) : -1;
	close(fd);
	if (got < 0 || got != is.st_size) {
		free(bytes);
		error_set(err, "%s: it can't be read", path);
		return NULL;
	}
	*size = (size_t)got;
	return bytes;
}

// The name of one list at `*at`, to which that moves on.
static bool read_name(struct numbers *numbers, const char **at, const char *end)
{
	uint32_t number;
	size_t length;

	if ((size_t)(end - *at) < sizeof(number) + 1)
		return false;
	memcpy(&number, *at, sizeof(number));
	*at += sizeof(number);
	length = strnlen(*at, (size_t)(end - *at));
	if (length == (size_t)(end - *at) || !numbers_restore(numbers, number, *at))
		return false;
	*at += length + 1;
	return true;
}

static bool read_list(struct numbers *numbers, const char **at, const char *end)
{
	struct list_header header;

	if ((size_t)(end - *at) < sizeof(header))
		return false;
	memcpy(&header, *at, sizeof(header));
	*at += sizeof(header);
	for (uint32_t i = 0; i < header.count; i++)
		if (!read_name(numbers, at, end))
			return false;
	if (header.next < numbers->first || header.next > numbers->max)
		return false;
	numbers->next = header.next;
	return true;
}

static bool read_lists(const char *bytes, size_t size, uint64_t id, struct numbers *const *lists,
		       unsigned int count)
{
	const char *at = bytes + sizeof(struct file_header), *end = bytes + size;
	struct file_header header;

	if (size < sizeof(header))
		return false;
	memcpy(&header, bytes, sizeof(header));
	if (memcmp(header.magic, magic, sizeof(magic)) != 0 || header.id != id ||
	    header.size != (uint64_t)(end - at) || header.checksum != checksum(at, header.size, id))
		return false;
	for (unsigned int i = 0; i < count; i++)
		if (!read_list(lists[i], &at, end))
			return false;
	return at == end;
}

int numbers_file_read(const char *path, uint64_t id, struct numbers *const *lists,
		      unsigned int count, struct error *err)
{
	char *bytes;
	size_t size;
	bool fits;

	bytes = read_all(path, &size, err);
	if (!bytes)
		return -1;
	fits = read_lists(bytes, size, id, lists, count);
	free(bytes);
	if (fits)
		return 0;
	for (unsigned int i = 0; i < count; i++) {
		numbers_begin(lists[i]);
		numbers_end(lists[i]);
	}
	return error_set(err, "%s: it is damaged, or another table's", path);
}
