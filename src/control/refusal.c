// What a refused change tells: sluice.v1.Problems with all that Sluice knows, and gRPC's standard
// details for clients that do not know these.

#include <ctype.h>
#include <stdio.h>

#include "control/control.h"
#include "error_details.pb-c.h"
#include "model/kind.h"
#include "model/memory.h"
#include "model/transaction.h"

// Standard details name no more problems than this.
#define VIOLATIONS_MAX 100

static const struct change *change_find(const struct transaction *transaction,
					const Sluice__V1__Problem *problem)
{
	Sluice__V1__Object__KindCase kind = kind_find(problem->kind);

	for (size_t i = 0; i < transaction->change_count; i++) {
		const struct change *change = &transaction->changes[i];

		if (change->kind == kind && change->object &&
		    strcmp(change->name, problem->name) == 0)
			return change;
	}
	return NULL;
}

// The field in the request, as objects[2].port.mac, or Port/web-1.mac where the request does not
// have the object. Freed by the caller.
static char *field_path(const struct transaction *transaction, const Sluice__V1__Problem *problem)
{
	const struct change *change = change_find(transaction, problem);
	const char *dot = *problem->field ? "." : "";
	char *path;
	int size;

	if (change)
		size = asprintf(&path, "objects[%zu].%c%s%s%s", change->place,
				tolower((unsigned char)*problem->kind), problem->kind + 1, dot,
				problem->field);
	else if (*problem->kind)
		size = asprintf(&path, "%s/%s%s%s", problem->kind, problem->name, dot,
				problem->field);
	else
		size = asprintf(&path, "%s", problem->field);
	if (size < 0)
		memory_required(NULL);
	return path;
}

static void refuse_request(struct rpc_call *call, const struct problems *problems,
			   const struct transaction *transaction, const ProtobufCMessage *known,
			   const char *summary)
{
	size_t count = problems->count < VIOLATIONS_MAX ? problems->count : VIOLATIONS_MAX;
	Google__Rpc__BadRequest request;
	Google__Rpc__BadRequest__FieldViolation violations[VIOLATIONS_MAX], *list[VIOLATIONS_MAX];
	const ProtobufCMessage *details[] = {known, &request.base};

	google__rpc__bad_request__init(&request);
	for (size_t i = 0; i < count; i++) {
		google__rpc__bad_request__field_violation__init(&violations[i]);
		violations[i].field = field_path(transaction, problems->list[i]);
		violations[i].description = problems->list[i]->text;
		list[i] = &violations[i];
	}
	request.field_violations = list;
	request.n_field_violations = count;
	rpc_call_fail_with(call, RPC_INVALID_ARGUMENT, details, 2, summary);
	for (size_t i = 0; i < count; i++)
		free(violations[i].field);
}

static void refuse_precondition(struct rpc_call *call, const struct problems *problems,
				const ProtobufCMessage *known, const char *summary)
{
	size_t count = problems->count < VIOLATIONS_MAX ? problems->count : VIOLATIONS_MAX;
	Google__Rpc__PreconditionFailure failure;
	Google__Rpc__PreconditionFailure__Violation violations[VIOLATIONS_MAX],
		*list[VIOLATIONS_MAX];
	const ProtobufCMessage *details[] = {known, &failure.base};

	google__rpc__precondition_failure__init(&failure);
	for (size_t i = 0; i < count; i++) {
		const Sluice__V1__Problem *problem = problems->list[i];

		google__rpc__precondition_failure__violation__init(&violations[i]);
		violations[i].type =
			(char *)(uintptr_t)(*problem->missing ? "REFERENCED" : "INVALID");
		if (asprintf(&violations[i].subject, "%s/%s", problem->kind, problem->name) < 0)
			memory_required(NULL);
		violations[i].description = problem->text;
		list[i] = &violations[i];
	}
	failure.violations = list;
	failure.n_violations = count;
	rpc_call_fail_with(call, RPC_FAILED_PRECONDITION, details, 2, summary);
	for (size_t i = 0; i < count; i++)
		free(violations[i].subject);
}

void refuse(struct rpc_call *call, enum rpc_code code, const struct problems *problems,
	    const struct transaction *transaction)
{
	Sluice__V1__Problems message = problems_message(problems);
	char summary[900];

	problems_summary(problems, summary, sizeof(summary));
	if (code == RPC_INVALID_ARGUMENT)
		refuse_request(call, problems, transaction, &message.base, summary);
	else if (code == RPC_FAILED_PRECONDITION)
		refuse_precondition(call, problems, &message.base, summary);
	else
		rpc_call_fail(call, code, &message.base, "%s", summary);
}
