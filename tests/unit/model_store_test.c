// The store: what is found again, what is refused, and what waits to be confirmed.

#include "model_fixture.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

static void test_store(void **state)
{
	struct object_set *set = object_set_new();
	struct store *store, *other;
	struct change changes[2];
	struct error err;
	uint64_t revision = 9;

	assert_int_equal(store_open(store_path("new/a.db"), &store, &err), 0);
	assert_int_equal(store_load(store, set, &revision, &err), 0);
	assert_int_equal(revision, 0);
	Sluice__V1__Object *vrf = vrf_new("v"), *network = network_new("n", "v");
	changes[0] = (struct change){VRF, "v", SLUICE__V1__ACTION__ACTION_CREATED, vrf};
	changes[1] = (struct change){NET, "n", SLUICE__V1__ACTION__ACTION_CREATED, network};
	assert_int_equal(store_commit_at(store, changes, 2, 1, &err), 0);
	changes[0] = (struct change){VRF, "v", SLUICE__V1__ACTION__ACTION_DELETED, NULL, vrf};
	changes[1] = (struct change){NET, "n", SLUICE__V1__ACTION__ACTION_UNCHANGED, network};
	assert_int_equal(store_commit_at(store, changes, 2, 2, &err), 0);
	assert_int_equal(store_open(store_path("new/a.db"), &other, &err), -1);
	assert_non_null(strstr(err.text, "another process uses it"));
	store_close(store);
	assert_int_equal(store_open(store_path("new/a.db"), &store, &err), 0);
	assert_int_equal(store_load(store, set, &revision, &err), 0);
	assert_int_equal(revision, 2);
	assert_int_equal(object_set_count(set, VRF), 0);
	assert_true(object_equal(object_set_find(set, NET, "n"), network));
	store_close(store);
	object_free(vrf);
	object_free(network);
	object_set_free(set);
}

static void store_refused(const char *path, const char *what)
{
	struct object_set *set = object_set_new();
	struct store *store;
	struct error err;
	uint64_t revision;

	if (store_open(path, &store, &err) == 0) {
		assert_int_equal(store_load(store, set, &revision, &err), -1);
		store_close(store);
	}
	if (!strstr(err.text, what) || !strstr(err.text, path))
		fail_msg("'%s' does not say '%s'", err.text, what);
	object_set_free(set);
}

static void sql(const char *path, const char *statements)
{
	char command[1024];

	snprintf(command, sizeof(command), "sqlite3 %s \"%s\"", path, statements);
	assert_int_equal(system(command), 0);
}

static void test_store_damage(void **state)
{
	struct store *store;
	struct error err;
	const char *path = store_path("b.db");
	int fd = open(path, O_WRONLY | O_CREAT, 0600);

	assert_int_equal(
		write(fd,
		      "this is no database, but long enough for a header of one, is it not? "
		      "A header has a hundred bytes.",
		      98),
		98);
	close(fd);
	store_refused(path, "file is not a database");
	store_refused("/nonexistent/directory/x.db", "unable to open");
	store_refused("/proc/x.db", "cannot open the store");

	unlink(path);
	assert_int_equal(store_open(path, &store, &err), 0);
	Sluice__V1__Object *objects[200];
	struct change changes[200];
	for (size_t i = 0; i < 200; i++) {
		char name[32];

		snprintf(name, sizeof(name), "v%zu", i);
		objects[i] = vrf_new(name);
		changes[i] = (struct change){VRF, objects[i]->vrf->name,
					     SLUICE__V1__ACTION__ACTION_CREATED, objects[i]};
	}
	assert_int_equal(store_commit_at(store, changes, 200, 1, &err), 0);
	for (size_t i = 0; i < 200; i++)
		object_free(objects[i]);
	store_close(store);
	// The last page becomes nonsense.
	fd = open(path, O_WRONLY);
	off_t size = lseek(fd, 0, SEEK_END);
	for (off_t at = 4096; at < size; at += 4096)
		assert_int_equal(pwrite(fd, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, at), 8);
	close(fd);
	store_refused(path, "");
	unlink(path);
}

// These need the sqlite3 program; without it the test is left out.
static void test_store_foreign(void **state)
{
	const char *path = store_path("c.db");

	if (system("command -v sqlite3 >/dev/null") != 0)
		skip();
	sql(path, "CREATE TABLE a (b);");
	store_refused(path, "another program");
	unlink(path);
	struct store *store;
	struct error err;
	assert_int_equal(store_open(path, &store, &err), 0);
	store_close(store);
	sql(path, "INSERT INTO objects VALUES ('Vrf', 'v', x'ffff');");
	store_refused(path, "Vrf/v cannot be read");
	sql(path, "PRAGMA user_version = 99;");
	store_refused(path, "has version 99");
	unlink(path);
}

// What the first version of the store has made.
static const char version_1[] =
	"CREATE TABLE state (one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL);"
	"INSERT INTO state VALUES (1, 7);"
	"CREATE TABLE objects (kind TEXT NOT NULL, name TEXT NOT NULL, object BLOB NOT NULL,"
	" PRIMARY KEY (kind, name)) WITHOUT ROWID;"
	// Field 1 of Vrf, `old`, in the Object's field for Vrf.
	"INSERT INTO objects VALUES ('Vrf', 'old', x'@');"
	"PRAGMA application_id = 1399616873; PRAGMA user_version = 1;";

static void test_store_of_version_1(void **state)
{
	const char *path = store_path("v1.db");
	Sluice__V1__Object *vrf = vrf_new("old"), *other = vrf_new("new");
	struct object_set *set = object_set_new(), *before;
	Sluice__V1__HistoryResponse *history;
	char statements[1024], hex[64] = "";
	uint8_t packed[32];
	struct change change = {VRF, "new", SLUICE__V1__ACTION__ACTION_CREATED, other, NULL};
	uint64_t revision, oldest;
	struct store *store;
	struct error err;

	size_t size = sluice__v1__object__pack(vrf, packed);
	for (size_t i = 0; i < size; i++)
		snprintf(hex + 2 * i, 3, "%02x", packed[i]);
	const char *at = strchr(version_1, '@');
	snprintf(statements, sizeof(statements), "%.*s%s%s", (int)(at - version_1), version_1, hex,
		 at + 1);
	sqlite3 *database;
	assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
	assert_int_equal(sqlite3_exec(database, statements, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(database);

	// Twice: it is of the new version then.
	for (int i = 0; i < 2; i++) {
		assert_int_equal(store_open(path, &store, &err), 0);
		assert_int_equal(store_load(store, set, &revision, &err), 0);
		assert_int_equal(revision, 7);
		assert_true(object_equal(object_set_find(set, VRF, "old"), vrf));
		assert_int_equal(store_history(store, 0, 0, &history, &err), 0);
		assert_int_equal(history->n_entries, 0);
		assert_int_equal(history->oldest, 7);
		sluice__v1__history_response__free_unpacked(history, NULL);
		if (i == 0)
			store_close(store);
	}
	assert_int_equal(store_commit_at(store, &change, 1, 8, &err), 0);
	object_set_put(set, other);
	// Back to what the old version has left, and no further.
	assert_int_equal(store_restore(store, set, 7, &before, &oldest, &err), 0);
	assert_int_equal(object_set_count(before, VRF), 1);
	object_set_free(before);
	assert_int_equal(store_restore(store, set, 6, &before, &oldest, &err), 0);
	assert_null(before);
	assert_int_equal(oldest, 7);
	store_close(store);
	object_set_free(set);
	object_free(vrf);
	unlink(path);
}

static void test_waiting(void **state)
{
	Sluice__V1__Object *vrf = vrf_new("v");
	struct change created = {VRF, "v", SLUICE__V1__ACTION__ACTION_CREATED, vrf, NULL};
	struct change deleted = {VRF, "v", SLUICE__V1__ACTION__ACTION_DELETED, NULL, vrf};
	struct store_record record = {
		.revision = 1,
		.time = 5000,
		.action = "apply",
		.user = "u",
		.comment = "c",
		.confirm_seconds = 60,
	};
	Sluice__V1__HistoryResponse *history;
	struct store_waiting waiting;
	struct store *store;
	struct error err;

	assert_int_equal(store_open(store_path("w.db"), &store, &err), 0);
	assert_int_equal(store_waiting(store, &waiting, &err), 0);
	assert_int_equal(waiting.revision, 0);
	assert_int_equal(store_commit(store, &created, 1, &record, &err), 0);
	store_close(store);
	assert_int_equal(store_open(store_path("w.db"), &store, &err), 0);
	assert_int_equal(store_waiting(store, &waiting, &err), 0);
	assert_int_equal(waiting.revision, 1);
	assert_int_equal(waiting.deadline, 65000);
	assert_int_equal(waiting.seconds, 60);
	record = (struct store_record){2, 70000, "revert", 0, "sluiced", "", 0, true};
	assert_int_equal(store_commit(store, &deleted, 1, &record, &err), 0);
	assert_int_equal(store_waiting(store, &waiting, &err), 0);
	assert_int_equal(waiting.revision, 0);
	record = (struct store_record){3, 80000, "apply", 0, "u", "", 60, false};
	assert_int_equal(store_commit(store, &created, 1, &record, &err), 0);
	assert_int_equal(store_confirm(store, &err), 0);
	assert_int_equal(store_waiting(store, &waiting, &err), 0);
	assert_int_equal(waiting.revision, 0);
	assert_int_equal(store_history(store, 0, 0, &history, &err), 0);
	assert_string_equal(history->entries[0]->confirmation, "confirmed");
	assert_string_equal(history->entries[1]->confirmation, "");
	assert_string_equal(history->entries[2]->confirmation, "reverted");
	assert_string_equal(history->entries[2]->time, "1970-01-01T00:00:05.000Z");
	assert_string_equal(history->entries[2]->user, "u");
	sluice__v1__history_response__free_unpacked(history, NULL);
	store_close(store);
	object_free(vrf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_store),	      cmocka_unit_test(test_store_damage),
		cmocka_unit_test(test_store_foreign), cmocka_unit_test(test_store_of_version_1),
		cmocka_unit_test(test_waiting),
	};

	return cmocka_run_group_tests(tests, stores_open, stores_remove);
}
