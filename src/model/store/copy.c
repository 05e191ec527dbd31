#include "model/store/copy.h"

#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "model/kind.h"
#include "model/memory.h"
#include "model/object.h"

// The file: this, and behind it a packed GetResponse.
struct copy_header {
	char magic[8];
	uint64_t size; // of what follows
	uint64_t checksum;
};

static const char magic[8] = "sluiceob";

// FNV-1a
static uint64_t checksum(const uint8_t *bytes, size_t size)
{
	uint64_t sum = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < size; i++)
		sum = (sum ^ bytes[i]) * UINT64_C(0x100000001b3);
	return sum;
}

static void copy_path(const char *path, const char *ending, char result[PATH_MAX])
{
	snprintf(result, PATH_MAX, "%.4000s.copy%s", path, ending);
}

// Shares the objects; only the list is the caller's.
static void list_objects(const struct object_set *set, Sluice__V1__GetResponse *list)
{
	Sluice__V1__Object__KindCase kind;
	size_t count = 0;

	for (size_t k = 0; (kind = kind_at(k)) != SLUICE__V1__OBJECT__KIND__NOT_SET; k++)
		count += object_set_count(set, kind);
	list->objects = memory_new(count * sizeof(list->objects[0]));
	for (size_t k = 0; (kind = kind_at(k)) != SLUICE__V1__OBJECT__KIND__NOT_SET; k++)
		for (size_t i = 0; i < object_set_count(set, kind); i++)
			list->objects[list->n_objects++] =
				(Sluice__V1__Object *)(uintptr_t)object_set_at(set, kind, i);
}

static int write_file(const char *path, const struct copy_header *header, const uint8_t *bytes,
		      struct error *err)
{
	char made[PATH_MAX], copy[PATH_MAX];
	bool written;
	FILE *file;

	copy_path(path, "", copy);
	copy_path(path, ".new", made);
	file = fopen(made, "we");
	if (!file)
		return error_errno(err, "%s", made);
	fchmod(fileno(file), 0640);
	written = fwrite(header, sizeof(*header), 1, file) == 1 &&
		  (!header->size || fwrite(bytes, header->size, 1, file) == 1);
	if (fclose(file) != 0 || !written || rename(made, copy) < 0) {
		error_errno(err, "%s", made);
		unlink(made);
		return -1;
	}
	return 0;
}

int store_copy_write(const char *path, const struct object_set *set, uint64_t revision,
		     struct error *err)
{
	Sluice__V1__GetResponse list = SLUICE__V1__GET_RESPONSE__INIT;
	struct copy_header header = {.size = 0};
	uint8_t *bytes;
	int result;

	list.revision = revision;
	list_objects(set, &list);
	header.size = sluice__v1__get_response__get_packed_size(&list);
	bytes = memory_new(header.size);
	sluice__v1__get_response__pack(&list, bytes);
	memcpy(header.magic, magic, sizeof(magic));
	header.checksum = checksum(bytes, header.size);
	result = write_file(path, &header, bytes, err);
	free(bytes);
	free(list.objects);
	return result;
}

static uint8_t *read_file(const char *copy, size_t *size, struct error *err)
{
	FILE *file = fopen(copy, "re");
	struct copy_header header;
	uint8_t *bytes = NULL;
	struct stat is;

	if (!file) {
		error_errno(err, "%s", copy);
		return NULL;
	}
	if (fstat(fileno(file), &is) == 0 && fread(&header, sizeof(header), 1, file) == 1 &&
	    memcmp(header.magic, magic, sizeof(magic)) == 0 &&
	    header.size == (uint64_t)is.st_size - sizeof(header)) {
		bytes = memory_new(header.size);
		if ((header.size && fread(bytes, header.size, 1, file) != 1) ||
		    checksum(bytes, header.size) != header.checksum) {
			free(bytes);
			bytes = NULL;
		}
	}
	fclose(file);
	*size = header.size;
	if (!bytes)
		error_set(err, "%s: it is damaged", copy);
	return bytes;
}

int store_copy_read(const char *path, struct object_set *set, uint64_t *revision, struct error *err)
{
	Sluice__V1__GetResponse *list = NULL;
	char copy[PATH_MAX];
	uint8_t *bytes;
	size_t size;

	copy_path(path, "", copy);
	bytes = read_file(copy, &size, err);
	if (!bytes)
		return -1;
	list = sluice__v1__get_response__unpack(NULL, size, bytes);
	free(bytes);
	if (!list)
		return error_set(err, "%s: it is damaged", copy);
	*revision = list->revision;
	for (size_t i = 0; i < list->n_objects; i++) {
		if (object_message(list->objects[i]))
			object_set_put(set, list->objects[i]);
		else
			object_free(list->objects[i]);
	}
	// They are the set's.
	list->n_objects = 0;
	free(list->objects);
	list->objects = NULL;
	sluice__v1__get_response__free_unpacked(list, NULL);
	return 0;
}

// ---- the database

bool store_is_damaged(const char *path)
{
	sqlite3_stmt *statement = NULL;
	sqlite3 *database = NULL;
	bool damaged = false;
	int code;

	code = sqlite3_open_v2(path, &database, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_prepare_v2(database, "PRAGMA quick_check(1)", -1, &statement, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_step(statement);
	if (code == SQLITE_ROW)
		damaged = strcmp((const char *)sqlite3_column_text(statement, 0), "ok") != 0;
	else
		damaged = (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB;
	sqlite3_finalize(statement);
	sqlite3_close(database);
	return damaged;
}

#define ASIDE ".damaged-"

static int set_aside(const char *path, char *aside, size_t size, struct error *err)
{
	static const char *const endings[] = {"-journal", "-wal", "-shm"};
	time_t now = time(NULL);
	char stamp[32];
	struct tm utc;

	strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", gmtime_r(&now, &utc));
	snprintf(aside, size, "%.4000s" ASIDE "%s", path, stamp);
	// Under both names until another one is in its place; where a file has one name only, it
	// gets that at once.
	if (link(path, aside) < 0 && errno != ENOENT && rename(path, aside) < 0)
		return error_errno(err, "%s", path);
	if (access(aside, F_OK) < 0)
		*aside = 0;
	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
		char from[PATH_MAX], to[PATH_MAX];

		snprintf(from, sizeof(from), "%.4000s%s", path, endings[i]);
		snprintf(to, sizeof(to), "%.4050s%s", *aside ? aside : path, endings[i]);
		// A journal of the old one would be played into the new one.
		if ((*aside ? rename(from, to) : unlink(from)) < 0 && errno != ENOENT)
			return error_errno(err, "%s", from);
	}
	return 0;
}

int store_replace(const char *path, const char *made, char *aside, size_t size, struct error *err)
{
	if (set_aside(path, aside, size, err) < 0)
		return -1;
	return rename(made, path) < 0 ? error_errno(err, "%s", made) : 0;
}

bool store_find_aside(const char *path, char *aside, size_t size)
{
	char pattern[PATH_MAX];
	bool found = false;
	glob_t names;

	snprintf(pattern, sizeof(pattern), "%.4000s" ASIDE "*Z", path);
	if (glob(pattern, 0, NULL, &names) == 0) {
		// In the order of their times.
		snprintf(aside, size, "%s", names.gl_pathv[names.gl_pathc - 1]);
		found = true;
		globfree(&names);
	}
	return found;
}
