// A change of desired state, from request to the set that results. The order of things for the
// caller:
//
//   transaction_apply, _delete or _replace    makes the next set and validates it
//   (compile transaction->next)               may still add problems
//   store_commit                              persists the changes
//   (publish transaction->next)               set `next` to NULL to keep it
//   transaction_clear

#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "model/problem.h"
#include "model/set.h"

enum transaction_result {
	TRANSACTION_OK,
	// gRPC INVALID_ARGUMENT (apply) or FAILED_PRECONDITION (delete); the problems say why.
	TRANSACTION_INVALID,
	// Delete: there is no such object.
	TRANSACTION_NOT_FOUND,
};

struct change {
	Sluice__V1__Object__KindCase kind;
	const char *name; // of the object in the set before or after
	Sluice__V1__Action action;
	// In `next`; NULL for ACTION_DELETED.
	const Sluice__V1__Object *object;
	// In the set before; NULL for ACTION_CREATED.
	const Sluice__V1__Object *before;
	size_t place; // in the list of objects of an Apply's request
};

struct transaction {
	// Shares objects with the set that it came from. Owned.
	struct object_set *next;
	// One for each object of the request, in its order, then those that go. Owned. Names and
	// objects are valid as long as both sets.
	struct change *changes;
	size_t change_count;
	size_t capacity;
	// Changes other than ACTION_UNCHANGED. None: nothing is to be stored, the revision stays.
	size_t effective;
};

// `*transaction` need not be initialised; call transaction_clear whatever the result. Takes the
// objects out of the request (its list is empty afterwards).
enum transaction_result transaction_apply(const struct object_set *current,
					  Sluice__V1__ApplyRequest *request,
					  struct transaction *transaction,
					  struct problems *problems);

// An unknown kind is a problem (TRANSACTION_INVALID). TRANSACTION_NOT_FOUND adds a problem too.
enum transaction_result transaction_delete(const struct object_set *current,
					   const Sluice__V1__DeleteRequest *request,
					   struct transaction *transaction,
					   struct problems *problems);

// From one set to another, which is taken over.
enum transaction_result transaction_replace(const struct object_set *current,
					    struct object_set *next,
					    struct transaction *transaction,
					    struct problems *problems);

// As people are told: "created".
const char *action_name(Sluice__V1__Action action);

void transaction_clear(struct transaction *transaction);

// The response to Apply and Rollback; with details it has copies of the objects before and after.
// Freed with sluice__v1__apply_response__free_unpacked.
Sluice__V1__ApplyResponse *transaction_response(const struct transaction *transaction,
						uint64_t revision, bool details);

// The response to Get; its objects are shared with the set. Freed with transaction_get_free while
// the set is unchanged. NULL with an error for an unknown kind (gRPC INVALID_ARGUMENT) or, with
// *not_found set, an unknown name (NOT_FOUND).
Sluice__V1__GetResponse *transaction_get(const struct object_set *set, const char *kind,
					 const char *name, uint64_t revision, bool *not_found,
					 struct error *err);
void transaction_get_free(Sluice__V1__GetResponse *response);
