// Kinds and their names, the set of objects, and changes of it.

#include "model_fixture.h"

#include "model/kind.h"
#include "model/transaction.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_objects),
		cmocka_unit_test(test_transaction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
