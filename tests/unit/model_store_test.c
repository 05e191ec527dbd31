// The set of objects, changes of it, and the store.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/kind.h"
#include "model/object.h"
#include "model/store.h"
#include "model/transaction.h"

#define VRF SLUICE__V1__OBJECT__KIND_VRF
#define NET SLUICE__V1__OBJECT__KIND_NETWORK

static Sluice__V1__Object *vrf_new(const char *name)
{
	Sluice__V1__Object *object = calloc(1, sizeof(*object));

	sluice__v1__object__init(object);
	object->kind_case = VRF;
	object->vrf = calloc(1, sizeof(*object->vrf));
	sluice__v1__vrf__init(object->vrf);
	object->vrf->name = strdup(name);
	return object;
}

static Sluice__V1__Object *network_new(const char *name, const char *vrf)
{
	Sluice__V1__Object *object = calloc(1, sizeof(*object));

	sluice__v1__object__init(object);
	object->kind_case = NET;
	object->network = calloc(1, sizeof(*object->network));
	sluice__v1__network__init(object->network);
	object->network->name = strdup(name);
	object->network->vrf = strdup(vrf);
	return object;
}

static void test_kinds(void **state)
{
	static const char *const names[] = {"SecurityGroup", "securitygroups", "security-group",
					    "SECURITY_GROUPS", "securityGroups"};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		assert_int_equal(kind_find(names[i]), SLUICE__V1__OBJECT__KIND_SECURITY_GROUP);
	assert_int_equal(kind_find("vrfs"), VRF);
	assert_int_equal(kind_find(""), SLUICE__V1__OBJECT__KIND__NOT_SET);
	assert_int_equal(kind_find("s"), SLUICE__V1__OBJECT__KIND__NOT_SET);
	assert_int_equal(kind_find("portss"), SLUICE__V1__OBJECT__KIND__NOT_SET);
	assert_string_equal(kind_name(VRF), "Vrf");
	assert_null(kind_name(9999));
	assert_string_equal(kind_suggest("prot"), "Port");
	assert_null(kind_suggest("something"));
}

// Random puts and removes, beside a plain array of what must be there.
static void test_set(void **state)
{
	enum {
		NAMES = 3000,
		STEPS = 60000
	};
	static bool there[NAMES];
	struct object_set *set = object_set_new();
	const Sluice__V1__Object **sorted;
	size_t count = 0;
	char name[32];

	memset(there, 0, sizeof(there));
	srand(1);
	for (size_t step = 0; step < STEPS; step++) {
		size_t number = (size_t)rand() % NAMES;

		snprintf(name, sizeof(name), "v%zu", number);
		if (rand() % 3) {
			object_set_put(set, vrf_new(name));
			count += !there[number];
			there[number] = true;
		} else {
			assert_int_equal(object_set_remove(set, VRF, name), there[number]);
			count -= there[number];
			there[number] = false;
		}
		assert_int_equal(object_set_count(set, VRF), count);
	}
	struct object_set *copy = object_set_copy(set);
	for (size_t number = 0; number < NAMES; number++) {
		snprintf(name, sizeof(name), "v%zu", number);
		const Sluice__V1__Object *object = object_set_find(set, VRF, name);
		assert_int_equal(object != NULL, there[number]);
		assert_ptr_equal(object, object_set_find(copy, VRF, name));
		if (object)
			assert_string_equal(object_name(object), name);
		object_set_remove(set, VRF, name);
	}
	assert_int_equal(object_set_count(set, VRF), 0);
	assert_null(object_set_find(set, VRF, "v1"));
	object_set_free(set);
	assert_int_equal(object_set_count(copy, VRF), count);
	assert_int_equal(object_set_count(copy, NET), 0);
	assert_int_equal(object_set_sorted(copy, VRF, &sorted), count);
	for (size_t i = 1; i < count; i++)
		assert_true(strcmp(object_name(sorted[i - 1]), object_name(sorted[i])) < 0);
	free(sorted);
	object_set_free(copy);
}

static void test_objects(void **state)
{
	Sluice__V1__Object *a = network_new("n", "v"), *b = object_copy(a);

	assert_true(object_equal(a, b));
	b->network->has_mtu_case = SLUICE__V1__NETWORK__HAS_MTU_MTU;
	assert_false(object_equal(a, b));
	object_free(a);
	object_free(b);
	a = calloc(1, sizeof(*a));
	sluice__v1__object__init(a);
	assert_null(object_message(a));
	assert_string_equal(object_name(a), "");
	object_free(a);
}

static enum transaction_result apply(const struct object_set *set, Sluice__V1__Object **objects,
				     size_t count, struct transaction *transaction,
				     struct problems *problems)
{
	Sluice__V1__ApplyRequest request;

	sluice__v1__apply_request__init(&request);
	request.objects = objects;
	request.n_objects = count;
	return transaction_apply(set, &request, transaction, problems);
}

static enum transaction_result delete (const struct object_set *set, char *kind, char *name,
				       struct transaction *transaction, struct problems *problems) {
	Sluice__V1__DeleteRequest request;

		sluice__v1__delete_request__init(&request); request.kind = kind;
		request.name = name;
		return transaction_delete(set, &request, transaction, problems);
}

static void test_transaction(void **state)
{
	struct object_set *set = object_set_new();
	struct transaction transaction;
	struct problems problems = {0};
	Sluice__V1__Object *first[] = {network_new("n", "v"), vrf_new("v")};
	Sluice__V1__ApplyResponse *response;

	assert_int_equal(apply(set, first, 2, &transaction, &problems), TRANSACTION_OK);
	assert_int_equal(transaction.effective, 2);
	assert_int_equal(object_set_count(set, VRF), 0);
	response = transaction_response(&transaction, 7, true);
	assert_int_equal(response->revision, 7);
	assert_string_equal(response->changes[0]->kind, "Network");
	assert_int_equal(response->changes[1]->action, SLUICE__V1__ACTION__ACTION_CREATED);
	sluice__v1__apply_response__free_unpacked(response, NULL);
	object_set_free(set);
	set = transaction.next;
	transaction.next = NULL;
	transaction_clear(&transaction);

	// The same again, and a change.
	Sluice__V1__Object *second[] = {network_new("n", ""), vrf_new("v")};
	assert_int_equal(apply(set, second, 2, &transaction, &problems), TRANSACTION_OK);
	assert_int_equal(transaction.changes[0].action, SLUICE__V1__ACTION__ACTION_CHANGED);
	assert_int_equal(transaction.changes[1].action, SLUICE__V1__ACTION__ACTION_UNCHANGED);
	assert_int_equal(transaction.effective, 1);
	transaction_clear(&transaction);

	// Twice in a request, and no kind at all.
	Sluice__V1__Object *third[] = {vrf_new("w"), vrf_new("w"),
				       calloc(1, sizeof(Sluice__V1__Object))};
	sluice__v1__object__init(third[2]);
	assert_int_equal(apply(set, third, 3, &transaction, &problems), TRANSACTION_INVALID);
	assert_int_equal(problems.count, 2);
	assert_string_equal(problems.list[0]->text, "is given twice");
	assert_string_equal(problems.list[1]->field, "objects[2]");
	problems_clear(&problems);
	transaction_clear(&transaction);

	assert_int_equal(delete (set, "vrf", "v", &transaction, &problems), TRANSACTION_INVALID);
	assert_string_equal(problems.list[0]->text, "no Vrf 'v'");
	problems_clear(&problems);
	transaction_clear(&transaction);
	assert_int_equal(delete (set, "vrf", "x", &transaction, &problems), TRANSACTION_NOT_FOUND);
	transaction_clear(&transaction);
	assert_int_equal(delete (set, "x", "x", &transaction, &problems), TRANSACTION_INVALID);
	problems_clear(&problems);
	transaction_clear(&transaction);
	assert_int_equal(delete (set, "Networks", "n", &transaction, &problems), TRANSACTION_OK);
	assert_int_equal(object_set_count(transaction.next, NET), 0);
	assert_string_equal(transaction.changes[0].name, "n");
	transaction_clear(&transaction);
	object_set_free(set);
}

static char directory[] = "/tmp/sluice-store-XXXXXX";

static const char *store_path(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return path;
}

static int commit(struct store *store, const struct change *changes, size_t count,
		  uint64_t revision, struct error *err)
{
	struct store_record record = {
		.revision = revision,
		.time = (int64_t)revision * 1000,
		.action = "apply",
		.user = "somebody",
		.comment = "",
	};

	return store_commit(store, changes, count, &record, err);
}

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
	assert_int_equal(commit(store, changes, 2, 1, &err), 0);
	changes[0] = (struct change){VRF, "v", SLUICE__V1__ACTION__ACTION_DELETED, NULL, vrf};
	changes[1] = (struct change){NET, "n", SLUICE__V1__ACTION__ACTION_UNCHANGED, network};
	assert_int_equal(commit(store, changes, 2, 2, &err), 0);
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
	assert_int_equal(commit(store, changes, 200, 1, &err), 0);
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
	assert_int_equal(commit(store, &change, 1, 8, &err), 0);
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

// Random changes beside copies of the set: each earlier state comes back, and what a change says of
// before and after is so.
static void test_history(void **state)
{
	enum {
		NAMES = 12,
		CHANGES = 120
	};
	struct object_set *sets[CHANGES + 1] = {object_set_new()};
	Sluice__V1__HistoryResponse *history;
	struct object_set *before;
	struct store *store;
	struct error err;
	uint64_t oldest;

	assert_int_equal(store_open(store_path("h.db"), &store, &err), 0);
	srand(2);
	for (size_t r = 1; r <= CHANGES; r++) {
		struct change changes[NAMES];
		char names[NAMES][8];
		size_t count = 0;

		sets[r] = object_set_copy(sets[r - 1]);
		for (size_t n = 0; n < NAMES; n++) {
			const Sluice__V1__Object *old;
			const Sluice__V1__Object *made = NULL;

			snprintf(names[n], sizeof(names[n]), "n%zu", n);
			old = object_set_find(sets[r - 1], NET, names[n]);
			if (rand() % 3)
				continue;
			if (old && rand() % 2) {
				object_set_remove(sets[r], NET, names[n]);
			} else {
				char vrf[16];

				snprintf(vrf, sizeof(vrf), "v%zu", r);
				made = object_set_put(sets[r], network_new(names[n], vrf));
			}
			changes[count++] =
				(struct change){NET, names[n],
						!made ? SLUICE__V1__ACTION__ACTION_DELETED
						: old ? SLUICE__V1__ACTION__ACTION_CHANGED
						      : SLUICE__V1__ACTION__ACTION_CREATED,
						made, old};
		}
		assert_int_equal(commit(store, changes, count, r, &err), 0);
	}
	for (size_t r = 0; r <= CHANGES; r++) {
		assert_int_equal(store_restore(store, sets[CHANGES], r, &before, &oldest, &err), 0);
		assert_int_equal(object_set_count(before, NET), object_set_count(sets[r], NET));
		for (size_t i = 0; i < object_set_count(before, NET); i++) {
			const Sluice__V1__Object *object = object_set_at(before, NET, i);

			assert_true(object_equal(
				object, object_set_find(sets[r], NET, object_name(object))));
		}
		object_set_free(before);
		if (r == 0)
			continue;
		assert_int_equal(store_history(store, r, 0, &history, &err), 0);
		assert_int_equal(history->n_entries, 1);
		Sluice__V1__HistoryEntry *entry = history->entries[0];
		assert_int_equal(entry->created + entry->changed + entry->deleted,
				 entry->n_changes);
		for (size_t i = 0; i < entry->n_changes; i++) {
			const Sluice__V1__HistoryChange *change = entry->changes[i];
			const Sluice__V1__Object *old =
				object_set_find(sets[r - 1], NET, change->name);
			const Sluice__V1__Object *made =
				object_set_find(sets[r], NET, change->name);

			assert_int_equal(!old, !change->before);
			assert_int_equal(!made, !change->after);
			assert_true(!old || object_equal(old, change->before));
			assert_true(!made || object_equal(made, change->after));
		}
		sluice__v1__history_response__free_unpacked(history, NULL);
	}
	store_close(store);
	for (size_t r = 0; r <= CHANGES; r++)
		object_set_free(sets[r]);
}

// The oldest changes go, by number and by size; what is left has no gaps.
static void test_history_is_bounded(void **state)
{
	Sluice__V1__Object *vrf = vrf_new("v"), *large = vrf_new("large");
	struct change change = {VRF, "v", SLUICE__V1__ACTION__ACTION_CHANGED, vrf, vrf};
	Sluice__V1__HistoryResponse *history;
	struct store *store;
	struct error err;
	uint64_t revision = 0;

	assert_int_equal(store_open(store_path("bound.db"), &store, &err), 0);
	while (revision < STORE_HISTORY_MAX + 5)
		assert_int_equal(commit(store, &change, 1, ++revision, &err), 0);
	assert_int_equal(store_history(store, 0, 0, &history, &err), 0);
	assert_int_equal(history->n_entries, STORE_HISTORY_MAX);
	assert_int_equal(history->entries[0]->revision, revision);
	assert_int_equal(history->oldest, 5);
	sluice__v1__history_response__free_unpacked(history, NULL);
	// Two of them are more than there is room for.
	free(large->vrf->name);
	large->vrf->name = malloc(STORE_HISTORY_BYTES * 5 / 8 + 1);
	memset(large->vrf->name, 'x', STORE_HISTORY_BYTES * 5 / 8);
	large->vrf->name[STORE_HISTORY_BYTES * 5 / 8] = 0;
	change.before = large;
	assert_int_equal(commit(store, &change, 1, ++revision, &err), 0);
	assert_int_equal(commit(store, &change, 1, ++revision, &err), 0);
	assert_int_equal(store_history(store, 0, 3, &history, &err), 0);
	assert_int_equal(history->n_entries, 1);
	assert_int_equal(history->oldest, revision - 1);
	sluice__v1__history_response__free_unpacked(history, NULL);
	store_close(store);
	object_free(vrf);
	object_free(large);
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

static int setup(void **state)
{
	return mkdtemp(directory) ? 0 : -1;
}

static int teardown(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", directory);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),	      cmocka_unit_test(test_set),
		cmocka_unit_test(test_objects),	      cmocka_unit_test(test_transaction),
		cmocka_unit_test(test_store),	      cmocka_unit_test(test_store_damage),
		cmocka_unit_test(test_store_foreign), cmocka_unit_test(test_store_of_version_1),
		cmocka_unit_test(test_history),	      cmocka_unit_test(test_history_is_bounded),
		cmocka_unit_test(test_waiting),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
