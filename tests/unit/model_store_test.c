// The set of objects, changes of it, and the store.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
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
	Sluice__V1__ApplyRequest request = SLUICE__V1__APPLY_REQUEST__INIT;

	request.objects = objects;
	request.n_objects = count;
	return transaction_apply(set, &request, transaction, problems);
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
	response = transaction_response(&transaction, 7);
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

	assert_int_equal(transaction_delete(set, "vrf", "v", &transaction, &problems),
			 TRANSACTION_INVALID);
	assert_string_equal(problems.list[0]->text, "no Vrf 'v'");
	problems_clear(&problems);
	transaction_clear(&transaction);
	assert_int_equal(transaction_delete(set, "vrf", "x", &transaction, &problems),
			 TRANSACTION_NOT_FOUND);
	transaction_clear(&transaction);
	assert_int_equal(transaction_delete(set, "x", "x", &transaction, &problems),
			 TRANSACTION_INVALID);
	problems_clear(&problems);
	transaction_clear(&transaction);
	assert_int_equal(transaction_delete(set, "Networks", "n", &transaction, &problems),
			 TRANSACTION_OK);
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
	assert_int_equal(store_commit(store, changes, 2, 1, &err), 0);
	changes[0] = (struct change){VRF, "v", SLUICE__V1__ACTION__ACTION_DELETED, NULL};
	changes[1] = (struct change){NET, "n", SLUICE__V1__ACTION__ACTION_UNCHANGED, network};
	assert_int_equal(store_commit(store, changes, 2, 2, &err), 0);
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
	assert_int_equal(store_commit(store, changes, 200, 1, &err), 0);
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
		cmocka_unit_test(test_store_foreign),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
