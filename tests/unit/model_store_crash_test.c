// The store of a program that ends without a word: before, after and in the middle of each write
// that it makes. Whatever is found afterwards is one of the states that there should be.

#include "model_fixture.h"

#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#define FIRST  7  // the revision that the old version has left
#define LAST   11 // after all changes
#define MANY   40
#define ENDED  9 // exit status of who ended as asked
#define FAILED 10

// Operations on files until the end; 0: there is none.
static unsigned int steps;
static bool torn; // half of the last write is still made

static bool step_is_last(void)
{
	return steps && --steps == 0;
}

static void end_before(void)
{
	if (step_is_last())
		_exit(ENDED);
}

// A file of SQLite's own way to the disk, with ours around it.
struct file {
	sqlite3_file base;
	sqlite3_file *real;
};

static sqlite3_file *real_of(sqlite3_file *file)
{
	return ((struct file *)file)->real;
}

static int file_close(sqlite3_file *file)
{
	int result = real_of(file)->pMethods->xClose(real_of(file));

	sqlite3_free(real_of(file));
	return result;
}

static int file_read(sqlite3_file *file, void *data, int size, sqlite3_int64 offset)
{
	return real_of(file)->pMethods->xRead(real_of(file), data, size, offset);
}

static int file_write(sqlite3_file *file, const void *data, int size, sqlite3_int64 offset)
{
	if (step_is_last()) {
		if (torn)
			real_of(file)->pMethods->xWrite(real_of(file), data, size / 2, offset);
		_exit(ENDED);
	}
	return real_of(file)->pMethods->xWrite(real_of(file), data, size, offset);
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	end_before();
	return real_of(file)->pMethods->xTruncate(real_of(file), size);
}

static int file_sync(sqlite3_file *file, int flags)
{
	end_before();
	return real_of(file)->pMethods->xSync(real_of(file), flags);
}

static int file_size(sqlite3_file *file, sqlite3_int64 *size)
{
	return real_of(file)->pMethods->xFileSize(real_of(file), size);
}

static int file_lock(sqlite3_file *file, int level)
{
	return real_of(file)->pMethods->xLock(real_of(file), level);
}

static int file_unlock(sqlite3_file *file, int level)
{
	return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static int file_reserved(sqlite3_file *file, int *reserved)
{
	return real_of(file)->pMethods->xCheckReservedLock(real_of(file), reserved);
}

static int file_control(sqlite3_file *file, int code, void *argument)
{
	return real_of(file)->pMethods->xFileControl(real_of(file), code, argument);
}

static int file_sector(sqlite3_file *file)
{
	return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int file_traits(sqlite3_file *file)
{
	return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static const sqlite3_io_methods methods = {
	.iVersion = 1,
	.xClose = file_close,
	.xRead = file_read,
	.xWrite = file_write,
	.xTruncate = file_truncate,
	.xSync = file_sync,
	.xFileSize = file_size,
	.xLock = file_lock,
	.xUnlock = file_unlock,
	.xCheckReservedLock = file_reserved,
	.xFileControl = file_control,
	.xSectorSize = file_sector,
	.xDeviceCharacteristics = file_traits,
};

static sqlite3_vfs *disk, crashing;

static int crashing_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
			 int *flags_out)
{
	sqlite3_file *real = sqlite3_malloc(disk->szOsFile);
	int result;

	memset(real, 0, (size_t)disk->szOsFile);
	((struct file *)file)->real = real;
	result = disk->xOpen(disk, name, real, flags, flags_out);
	file->pMethods = result == SQLITE_OK ? &methods : NULL;
	if (result != SQLITE_OK)
		sqlite3_free(real);
	return result;
}

static int crashing_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
	end_before();
	return disk->xDelete(disk, name, sync);
}

static int disk_set_up(void **state)
{
	disk = sqlite3_vfs_find(NULL);
	crashing = *disk;
	crashing.zName = "crashing";
	crashing.szOsFile = sizeof(struct file);
	crashing.xOpen = crashing_open;
	crashing.xDelete = crashing_delete;
	return sqlite3_vfs_register(&crashing, 1) == SQLITE_OK ? 0 : -1;
}

// What happens, in the life of a store.

static Sluice__V1__Object *objects[MANY + 1];
static struct change creation[MANY + 1], deletion[MANY + 1];

static void changes_make(void)
{
	for (int i = 0; i <= MANY; i++) {
		char name[16];

		snprintf(name, sizeof(name), "vrf-%d", i);
		objects[i] = vrf_new(name);
		creation[i] = (struct change){VRF, object_name(objects[i]),
					      SLUICE__V1__ACTION__ACTION_CREATED, objects[i], NULL};
		deletion[i] = (struct change){VRF, object_name(objects[i]),
					      SLUICE__V1__ACTION__ACTION_DELETED, NULL, objects[i]};
	}
}

// By an older version of the store: revision FIRST, and no object.
static void old_make(const char *path)
{
	sqlite3 *database;

	assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
	assert_int_equal(
		sqlite3_exec(
			database,
			"CREATE TABLE state (one INTEGER PRIMARY KEY CHECK (one = 1), revision "
			"INTEGER NOT NULL);"
			"INSERT INTO state VALUES (1, 7);"
			"CREATE TABLE objects (kind TEXT NOT NULL, name TEXT NOT NULL, object BLOB "
			"NOT NULL, PRIMARY KEY (kind, name)) WITHOUT ROWID;"
			"PRAGMA application_id = 1399616873; PRAGMA user_version = 1;",
			NULL, NULL, NULL),
		SQLITE_OK);
	sqlite3_close(database);
}

static void commit(struct store *store, const struct change *changes, size_t count,
		   struct store_record record)
{
	struct error err;

	record.user = "somebody";
	record.comment = "";
	record.action = "apply";
	record.time = 1000;
	if (store_commit(store, changes, count, &record, &err) < 0)
		_exit(FAILED);
}

// In a process of its own.
static void live(const char *path)
{
	struct store *store;
	struct error err;

	if (store_open(path, &store, &err) < 0)
		_exit(FAILED);
	commit(store, creation, 1, (struct store_record){.revision = FIRST + 1});
	commit(store, creation + 1, MANY,
	       (struct store_record){.revision = FIRST + 2, .confirm_seconds = 60});
	commit(store, deletion + 1, MANY,
	       (struct store_record){.revision = FIRST + 3, .reverts = true});
	commit(store, creation + 1, MANY,
	       (struct store_record){.revision = FIRST + 4, .confirm_seconds = 60});
	if (store_confirm(store, &err) < 0)
		_exit(FAILED);
	store_close(store);
	_exit(0);
}

// What is there is what was there at its revision.
static void state_check(const char *path)
{
	static const size_t counts[] = {0, 1, MANY + 1, 1, MANY + 1};
	struct object_set *set = object_set_new(), *before;
	Sluice__V1__HistoryResponse *history;
	struct store_waiting waiting;
	uint64_t revision, oldest;
	struct store *store;
	struct error err;

	if (store_open(path, &store, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(store_load(store, set, &revision, &err), 0);
	assert_in_range(revision, FIRST, LAST);
	assert_int_equal(object_set_count(set, VRF), counts[revision - FIRST]);
	assert_int_equal(store_history(store, 0, 0, &history, &err), 0);
	assert_int_equal(history->n_entries, revision - FIRST);
	assert_int_equal(history->oldest, FIRST);
	assert_int_equal(store_waiting(store, &waiting, &err), 0);
	if (revision == FIRST + 2)
		assert_int_equal(waiting.revision, FIRST + 2);
	else if (revision != LAST)
		assert_int_equal(waiting.revision, 0);
	for (size_t i = 0; i < history->n_entries; i++) {
		const Sluice__V1__HistoryEntry *entry = history->entries[i];
		bool here = entry->revision == waiting.revision;

		if (entry->revision == FIRST + 2)
			assert_string_equal(entry->confirmation, here ? "waiting" : "reverted");
		if (entry->revision == LAST)
			assert_string_equal(entry->confirmation, here ? "waiting" : "confirmed");
	}
	for (uint64_t back = FIRST; back <= revision; back++) {
		assert_int_equal(store_restore(store, set, back, &before, &oldest, &err), 0);
		assert_int_equal(object_set_count(before, VRF), counts[back - FIRST]);
		object_set_free(before);
	}
	sluice__v1__history_response__free_unpacked(history, NULL);
	object_set_free(set);
	store_close(store);
}

static void ends_everywhere(bool with_half_a_write)
{
	// In memory: what has been written outlives the program in any case.
	char directory[] = "/dev/shm/sluice-store-XXXXXX", path[64], journal[80];
	unsigned int last = 0;
	int status;

	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/a.db", directory);
	snprintf(journal, sizeof(journal), "%s-journal", path);
	do {
		old_make(path);
		pid_t pid = fork();
		if (pid == 0) {
			steps = ++last;
			torn = with_half_a_write;
			live(path);
		}
		last++;
		assert_true(pid > 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		assert_int_not_equal(WEXITSTATUS(status), FAILED);
		state_check(path);
		unlink(path);
		unlink(journal);
	} while (WEXITSTATUS(status) == ENDED);
	// All changes were made before the program came to its end by itself.
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_in_range(last, 40, 2000);
	rmdir(directory);
}

static void test_ends_before_each_write(void **state)
{
	ends_everywhere(false);
}

static void test_ends_in_each_write(void **state)
{
	ends_everywhere(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ends_before_each_write),
		cmocka_unit_test(test_ends_in_each_write),
	};
	int result;

	changes_make();
	result = cmocka_run_group_tests(tests, disk_set_up, NULL);
	for (int i = 0; i <= MANY; i++)
		object_free(objects[i]);
	return result;
}
