// A change of desired state, from request to the set that results.

#include "model/transaction.h"

#include <stdio.h>

#include "model/check.h"
#include "model/check_change.h"
#include "model/key_map.h"
#include "model/kind.h"
#include "model/memory.h"
#include "model/object.h"

static enum transaction_result transaction_check(const struct object_set *current,
						 struct transaction *transaction,
						 struct problems *problems)
{
	if (problems->count == 0 && change_is_sound(current, transaction->next))
		return TRANSACTION_OK;
	set_check(transaction->next, current, problems);
	return problems->count ? TRANSACTION_INVALID : TRANSACTION_OK;
}

#define KEY_MAX 512

// Kind and name as one key. Returns its size; a name that is longer than any valid one is cut, and
// validation says the rest.
static size_t object_key(char key[KEY_MAX], uint32_t kind, const char *name)
{
	size_t length = strnlen(name, KEY_MAX - sizeof(kind));

	memcpy(key, &kind, sizeof(kind));
	memcpy(key + sizeof(kind), name, length);
	return sizeof(kind) + length;
}

// Was there an object of this kind and name in the request already?
static bool given_twice(struct key_map *seen, const Sluice__V1__Object *object)
{
	char key[KEY_MAX];
	size_t size = object_key(key, object->kind_case, object_name(object));

	return key_map_add(seen, key, size, object) != NULL;
}

static struct change *change_add(struct transaction *transaction)
{
	transaction->changes = memory_grow(transaction->changes, transaction->change_count,
					   &transaction->capacity, sizeof(struct change));
	transaction->changes[transaction->change_count] = (struct change){0};
	return &transaction->changes[transaction->change_count++];
}

// Puts one object into the next set, which takes it over.
static void object_apply(const struct object_set *current, Sluice__V1__Object *object, size_t place,
			 struct transaction *transaction)
{
	const Sluice__V1__Object *before =
		object_set_find(current, object->kind_case, object_name(object));
	struct change *change = change_add(transaction);

	change->kind = object->kind_case;
	change->before = before;
	change->place = place;
	if (before && object_equal(before, object)) {
		object_free(object);
		change->action = SLUICE__V1__ACTION__ACTION_UNCHANGED;
		change->object = before;
	} else {
		change->object = object_set_put(transaction->next, object);
		change->action = before ? SLUICE__V1__ACTION__ACTION_CHANGED
					: SLUICE__V1__ACTION__ACTION_CREATED;
		transaction->effective++;
	}
	change->name = object_name(change->object);
}

// `object` is of the current set, which still has it.
static void object_delete(const Sluice__V1__Object *object, struct transaction *transaction)
{
	struct change *change = change_add(transaction);

	*change = (struct change){
		.kind = object->kind_case,
		.name = object_name(object),
		.action = SLUICE__V1__ACTION__ACTION_DELETED,
		.before = object,
	};
	transaction->effective++;
	object_set_remove(transaction->next, change->kind, change->name);
}

// What the request does not have goes.
static void prune(const struct object_set *current, const struct key_map *seen,
		  struct transaction *transaction)
{
	for (size_t k = 0; kind_at(k) != SLUICE__V1__OBJECT__KIND__NOT_SET; k++) {
		const Sluice__V1__Object **objects;
		size_t count = object_set_sorted(current, kind_at(k), &objects);

		for (size_t i = 0; i < count; i++) {
			char key[KEY_MAX];
			size_t size =
				object_key(key, objects[i]->kind_case, object_name(objects[i]));

			if (!key_map_find(seen, key, size))
				object_delete(objects[i], transaction);
		}
		free(objects);
	}
}

enum transaction_result transaction_apply(const struct object_set *current,
					  Sluice__V1__ApplyRequest *request,
					  struct transaction *transaction,
					  struct problems *problems)
{
	struct key_map *seen = key_map_new();

	*transaction = (struct transaction){
		.next = object_set_copy(current),
	};
	for (size_t i = 0; i < request->n_objects; i++) {
		Sluice__V1__Object *object = request->objects[i];

		if (!object_message(object) || kind_name(object->kind_case) == NULL) {
			char field[32];

			snprintf(field, sizeof(field), "objects[%zu]", i);
			problems_add(problems, NULL, field,
				     "is of no kind that this version knows");
		} else if (given_twice(seen, object)) {
			problems_add(problems, object, "", "is given twice");
		} else {
			object_apply(current, object, i, transaction);
			continue;
		}
		object_free(object);
	}
	// A client that has lost its files by accident has not asked for this.
	if (request->prune && request->n_objects == 0)
		problems_add(problems, NULL, "prune", "without any object would delete everything");
	else if (request->prune)
		prune(current, seen, transaction);
	request->n_objects = 0;
	key_map_free(seen);
	return transaction_check(current, transaction, problems);
}

static enum transaction_result name_delete(const struct object_set *current, const char *kind,
					   const char *name, struct transaction *transaction,
					   struct problems *problems)
{
	Sluice__V1__Object__KindCase number = kind_find(kind);
	const Sluice__V1__Object *object;

	if (number == SLUICE__V1__OBJECT__KIND__NOT_SET) {
		problems_add(problems, NULL, "", "unknown kind '%.60s'", kind);
		return TRANSACTION_INVALID;
	}
	object = object_set_find(current, number, name);
	if (!object) {
		problems_add(problems, NULL, "", "no %s '%.100s'", kind_name(number), name);
		return TRANSACTION_NOT_FOUND;
	}
	// Named twice, it goes once.
	if (object_set_find(transaction->next, number, name))
		object_delete(object, transaction);
	return TRANSACTION_OK;
}

enum transaction_result transaction_delete(const struct object_set *current,
					   const Sluice__V1__DeleteRequest *request,
					   struct transaction *transaction,
					   struct problems *problems)
{
	enum transaction_result result = TRANSACTION_OK;

	*transaction = (struct transaction){.next = object_set_copy(current)};
	if (*request->kind || *request->name || request->n_objects == 0)
		result = name_delete(current, request->kind, request->name, transaction, problems);
	for (size_t i = 0; i < request->n_objects; i++) {
		enum transaction_result one =
			name_delete(current, request->objects[i]->kind, request->objects[i]->name,
				    transaction, problems);

		if (result == TRANSACTION_OK || one == TRANSACTION_INVALID)
			result = one;
	}
	return result == TRANSACTION_OK ? transaction_check(current, transaction, problems)
					: result;
}

enum transaction_result transaction_replace(const struct object_set *current,
					    struct object_set *next,
					    struct transaction *transaction,
					    struct problems *problems)
{
	*transaction = (struct transaction){.next = next};
	for (size_t k = 0; kind_at(k) != SLUICE__V1__OBJECT__KIND__NOT_SET; k++) {
		const Sluice__V1__Object **objects;
		size_t count = object_set_sorted(next, kind_at(k), &objects);

		for (size_t i = 0; i < count; i++) {
			const Sluice__V1__Object *before =
				object_set_find(current, kind_at(k), object_name(objects[i]));

			if (before && (before == objects[i] || object_equal(before, objects[i])))
				continue;
			*change_add(transaction) = (struct change){
				.kind = kind_at(k),
				.name = object_name(objects[i]),
				.action = before ? SLUICE__V1__ACTION__ACTION_CHANGED
						 : SLUICE__V1__ACTION__ACTION_CREATED,
				.object = objects[i],
				.before = before,
			};
			transaction->effective++;
		}
		free(objects);
		count = object_set_sorted(current, kind_at(k), &objects);
		for (size_t i = 0; i < count; i++)
			if (!object_set_find(next, kind_at(k), object_name(objects[i])))
				object_delete(objects[i], transaction);
		free(objects);
	}
	return transaction_check(current, transaction, problems);
}

const char *action_name(Sluice__V1__Action action)
{
	static const char *const names[] = {"unchanged", "created", "changed", "deleted"};

	return (unsigned)action < 4 ? names[action] : "changed";
}

void transaction_clear(struct transaction *transaction)
{
	object_set_free(transaction->next);
	free(transaction->changes);
	*transaction = (struct transaction){0};
}

Sluice__V1__ApplyResponse *transaction_response(const struct transaction *transaction,
						uint64_t revision, bool details)
{
	Sluice__V1__ApplyResponse *response = memory_new(sizeof(*response));

	sluice__v1__apply_response__init(response);
	response->revision = revision;
	response->changes = memory_new(transaction->change_count * sizeof(*response->changes));
	for (size_t i = 0; i < transaction->change_count; i++) {
		const struct change *change = &transaction->changes[i];
		Sluice__V1__Change *entry = memory_new(sizeof(*entry));

		sluice__v1__change__init(entry);
		entry->kind = memory_text(kind_name(change->kind));
		entry->name = memory_text(change->name);
		entry->action = change->action;
		if (details && change->action != SLUICE__V1__ACTION__ACTION_UNCHANGED) {
			if (change->before)
				entry->before = memory_required(object_copy(change->before));
			if (change->object)
				entry->after = memory_required(object_copy(change->object));
		}
		response->changes[response->n_changes++] = entry;
	}
	return response;
}

Sluice__V1__GetResponse *transaction_get(const struct object_set *set, const char *kind,
					 const char *name, uint64_t revision, bool *not_found,
					 struct error *err)
{
	Sluice__V1__Object__KindCase number = kind_find(kind);
	Sluice__V1__GetResponse *response;
	const Sluice__V1__Object **objects;
	size_t count = 1;

	*not_found = false;
	if (number == SLUICE__V1__OBJECT__KIND__NOT_SET) {
		error_set(err, "unknown kind '%.60s'", kind);
		return NULL;
	}
	if (*name) {
		const Sluice__V1__Object *object = object_set_find(set, number, name);

		if (!object) {
			*not_found = true;
			error_set(err, "no %s '%.100s'", kind_name(number), name);
			return NULL;
		}
		objects = memory_new(sizeof(*objects));
		objects[0] = object;
	} else {
		count = object_set_sorted(set, number, &objects);
	}
	response = memory_new(sizeof(*response));
	sluice__v1__get_response__init(response);
	response->revision = revision;
	response->n_objects = count;
	// The generated type has no const; nobody changes them.
	response->objects = (Sluice__V1__Object **)(uintptr_t)objects;
	return response;
}

void transaction_get_free(Sluice__V1__GetResponse *response)
{
	if (!response)
		return;
	free(response->objects);
	free(response);
}
