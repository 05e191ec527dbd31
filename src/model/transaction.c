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

// Was there an object of this kind and name in the request already?
static bool given_twice(struct key_map *seen, const Sluice__V1__Object *object)
{
	const char *name = object_name(object);
	size_t length = strlen(name);
	uint32_t kind = object->kind_case;
	char *key = memory_new(sizeof(kind) + length);
	bool twice;

	memcpy(key, &kind, sizeof(kind));
	memcpy(key + sizeof(kind), name, length);
	twice = key_map_add(seen, key, sizeof(kind) + length, object) != NULL;
	free(key);
	return twice;
}

// Puts one object into the next set, which takes it over.
static void object_apply(const struct object_set *current, Sluice__V1__Object *object,
			 struct transaction *transaction)
{
	const Sluice__V1__Object *before =
		object_set_find(current, object->kind_case, object_name(object));
	struct change *change = &transaction->changes[transaction->change_count++];

	change->kind = object->kind_case;
	if (before && object_equal(before, object)) {
		object_free(object);
		change->action = SLUICE__V1__ACTION__ACTION_UNCHANGED;
		change->object = before;
	} else {
		object_set_put(transaction->next, object);
		change->action = before ? SLUICE__V1__ACTION__ACTION_CHANGED
					: SLUICE__V1__ACTION__ACTION_CREATED;
		change->object = object;
		transaction->effective++;
	}
	change->name = object_name(change->object);
}

enum transaction_result transaction_apply(const struct object_set *current,
					  Sluice__V1__ApplyRequest *request,
					  struct transaction *transaction,
					  struct problems *problems)
{
	struct key_map *seen = key_map_new();

	*transaction = (struct transaction){
		.next = object_set_copy(current),
		.changes = memory_new(request->n_objects * sizeof(struct change)),
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
			object_apply(current, object, transaction);
			continue;
		}
		object_free(object);
	}
	request->n_objects = 0;
	key_map_free(seen);
	return transaction_check(current, transaction, problems);
}

enum transaction_result transaction_delete(const struct object_set *current, const char *kind,
					   const char *name, struct transaction *transaction,
					   struct problems *problems)
{
	Sluice__V1__Object__KindCase number = kind_find(kind);
	const Sluice__V1__Object *object;

	*transaction = (struct transaction){0};
	if (number == SLUICE__V1__OBJECT__KIND__NOT_SET) {
		problems_add(problems, NULL, "", "unknown kind '%.60s'", kind);
		return TRANSACTION_INVALID;
	}
	object = object_set_find(current, number, name);
	if (!object) {
		problems_add(problems, NULL, "", "no %s '%.100s'", kind_name(number), name);
		return TRANSACTION_NOT_FOUND;
	}
	transaction->next = object_set_copy(current);
	transaction->changes = memory_new(sizeof(struct change));
	transaction->changes[0] = (struct change){
		.kind = number,
		.name = object_name(object), // of `current`, which still has it
		.action = SLUICE__V1__ACTION__ACTION_DELETED,
	};
	transaction->change_count = 1;
	transaction->effective = 1;
	object_set_remove(transaction->next, number, name);
	return transaction_check(current, transaction, problems);
}

void transaction_clear(struct transaction *transaction)
{
	object_set_free(transaction->next);
	free(transaction->changes);
	*transaction = (struct transaction){0};
}

Sluice__V1__ApplyResponse *transaction_response(const struct transaction *transaction,
						uint64_t revision)
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
