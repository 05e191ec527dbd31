// What the store keeps of changes that were made.

#include "model_fixture.h"

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
		assert_int_equal(store_commit_at(store, changes, count, r, &err), 0);
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
		assert_int_equal(store_commit_at(store, &change, 1, ++revision, &err), 0);
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
	assert_int_equal(store_commit_at(store, &change, 1, ++revision, &err), 0);
	assert_int_equal(store_commit_at(store, &change, 1, ++revision, &err), 0);
	assert_int_equal(store_history(store, 0, 3, &history, &err), 0);
	assert_int_equal(history->n_entries, 1);
	assert_int_equal(history->oldest, revision - 1);
	sluice__v1__history_response__free_unpacked(history, NULL);
	store_close(store);
	object_free(vrf);
	object_free(large);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_history),
		cmocka_unit_test(test_history_is_bounded),
	};

	return cmocka_run_group_tests(tests, stores_open, stores_remove);
}
