// gRPC's server reflection. The files of the descriptor set are handed out as they are; what is
// kept is where each name is found.

#include "rpc/reflection.h"

#include <stdio.h>

#include "described_file.pb-c.h"
#include "model/memory.h"
#include "reflection.pb-c.h"
#include "rpc/server_private.h"

struct symbol {
	char *name; // with its package, as sluice.v1.Port
	size_t file;
};

struct file {
	char *name;
	ProtobufCBinaryData packed; // inside the set
	size_t *dependencies;
	size_t dependency_count;
	bool told; // in the answer that is made
};

struct reflection {
	const struct rpc_server *server;
	Sluice__Described__FileSet *set;
	struct file *files;
	size_t file_count;
	struct symbol *symbols; // sorted by name
	size_t symbol_count;
	size_t symbol_capacity;
	ProtobufCServiceDescriptor alpha; // the service under its older name
	struct rpc_method methods[2];
};

// Returns the full name, which is the reflection's.
static const char *symbol_add(struct reflection *reflection, const char *scope, const char *name,
			      size_t file)
{
	struct symbol *symbol;
	char *full;

	if (asprintf(&full, "%s%s%s", scope, *scope ? "." : "", name) < 0)
		memory_required(NULL);
	reflection->symbols = memory_grow(reflection->symbols, reflection->symbol_count,
					  &reflection->symbol_capacity, sizeof(*symbol));
	symbol = &reflection->symbols[reflection->symbol_count++];
	*symbol = (struct symbol){full, file};
	return full;
}

// An enum's values are names beside the enum's.
static void enum_add(struct reflection *reflection, const char *scope,
		     const Sluice__Described__Enum *type, size_t file)
{
	symbol_add(reflection, scope, type->name, file);
	for (size_t i = 0; i < type->n_value; i++)
		symbol_add(reflection, scope, type->value[i]->name, file);
}

static void message_add(struct reflection *reflection, const char *scope,
			const Sluice__Described__Message *type, size_t file)
{
	const char *name = symbol_add(reflection, scope, type->name, file);

	for (size_t i = 0; i < type->n_field; i++)
		symbol_add(reflection, name, type->field[i]->name, file);
	for (size_t i = 0; i < type->n_oneof; i++)
		symbol_add(reflection, name, type->oneof[i]->name, file);
	for (size_t i = 0; i < type->n_nested_type; i++)
		message_add(reflection, name, type->nested_type[i], file);
	for (size_t i = 0; i < type->n_enum_type; i++)
		enum_add(reflection, name, type->enum_type[i], file);
}

static int symbol_compare(const void *one, const void *other)
{
	return strcmp(((const struct symbol *)one)->name, ((const struct symbol *)other)->name);
}

static const struct file *file_find(const struct reflection *reflection, const char *name)
{
	for (size_t i = 0; i < reflection->file_count; i++)
		if (reflection->files[i].name && strcmp(reflection->files[i].name, name) == 0)
			return &reflection->files[i];
	return NULL;
}

// Files stand behind those that they import, as protoc writes them.
static int file_add(struct reflection *reflection, size_t number, struct error *err)
{
	struct file *file = &reflection->files[number];
	Sluice__Described__File *content =
		sluice__described__file__unpack(NULL, file->packed.len, file->packed.data);

	if (!content)
		return error_set(err, "the descriptions of the API are malformed");
	file->dependencies = memory_resize(NULL, content->n_dependency, sizeof(size_t));
	for (size_t i = 0; i < content->n_dependency; i++) {
		const struct file *found = file_find(reflection, content->dependency[i]);

		if (found)
			file->dependencies[file->dependency_count++] =
				(size_t)(found - reflection->files);
	}
	file->name = memory_text(content->name);
	for (size_t i = 0; i < content->n_message_type; i++)
		message_add(reflection, content->package, content->message_type[i], number);
	for (size_t i = 0; i < content->n_enum_type; i++)
		enum_add(reflection, content->package, content->enum_type[i], number);
	for (size_t i = 0; i < content->n_service; i++) {
		const char *name =
			symbol_add(reflection, content->package, content->service[i]->name, number);

		for (size_t k = 0; k < content->service[i]->n_method; k++)
			symbol_add(reflection, name, content->service[i]->method[k]->name, number);
	}
	sluice__described__file__free_unpacked(content, NULL);
	return 0;
}

struct answer {
	Grpc__Reflection__V1__ServerReflectionResponse response;
	Grpc__Reflection__V1__ErrorResponse error;
	Grpc__Reflection__V1__FileDescriptorResponse files;
	Grpc__Reflection__V1__ExtensionNumberResponse extensions;
	Grpc__Reflection__V1__ListServiceResponse list;
	char text[300];
};

static void answer_error(struct answer *answer, enum rpc_code code, const char *what,
			 const char *name)
{
	grpc__reflection__v1__error_response__init(&answer->error);
	snprintf(answer->text, sizeof(answer->text), "%s %.200s", what, name);
	// Only names of ASCII can be meant, and texts have to be UTF-8.
	for (char *c = answer->text; *c; c++)
		if (*c < 0x20 || *c > 0x7e)
			*c = '?';
	answer->error.error_code = (int32_t)code;
	answer->error.error_message = answer->text;
	answer->response.message_response_case =
		GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE;
	answer->response.error_response = &answer->error;
}

static void file_tell(struct reflection *reflection, struct answer *answer, size_t number)
{
	struct file *file = &reflection->files[number];

	if (file->told)
		return;
	file->told = true;
	answer->files.file_descriptor_proto[answer->files.n_file_descriptor_proto++] = file->packed;
	for (size_t i = 0; i < file->dependency_count; i++)
		file_tell(reflection, answer, file->dependencies[i]);
}

// The file, and behind it what it imports.
static void answer_file(struct reflection *reflection, struct answer *answer, size_t number)
{
	grpc__reflection__v1__file_descriptor_response__init(&answer->files);
	answer->files.file_descriptor_proto =
		memory_resize(NULL, reflection->file_count, sizeof(ProtobufCBinaryData));
	for (size_t i = 0; i < reflection->file_count; i++)
		reflection->files[i].told = false;
	file_tell(reflection, answer, number);
	answer->response.message_response_case =
		GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE;
	answer->response.file_descriptor_response = &answer->files;
}

static const struct symbol *symbol_find(const struct reflection *reflection, const char *name)
{
	struct symbol wanted = {.name = (char *)(uintptr_t)name};

	return bsearch(&wanted, reflection->symbols, reflection->symbol_count,
		       sizeof(struct symbol), symbol_compare);
}

// Proto3 has no extensions but those of descriptors.
static void answer_extensions(struct reflection *reflection, struct answer *answer,
			      const char *name)
{
	if (!symbol_find(reflection, name)) {
		answer_error(answer, RPC_NOT_FOUND, "no type", name);
		return;
	}
	grpc__reflection__v1__extension_number_response__init(&answer->extensions);
	answer->extensions.base_type_name = (char *)(uintptr_t)name;
	answer->response.message_response_case =
		GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ALL_EXTENSION_NUMBERS_RESPONSE;
	answer->response.all_extension_numbers_response = &answer->extensions;
}

static void answer_services(const struct reflection *reflection, struct answer *answer)
{
	const struct rpc_server *server = reflection->server;

	grpc__reflection__v1__list_service_response__init(&answer->list);
	answer->list.service = memory_resize(NULL, server->service_count, sizeof(void *));
	for (size_t i = 0; i < server->service_count; i++) {
		Grpc__Reflection__V1__ServiceResponse *service = memory_new(sizeof(*service));

		grpc__reflection__v1__service_response__init(service);
		service->name = (char *)(uintptr_t)server->services[i].descriptor->name;
		answer->list.service[answer->list.n_service++] = service;
	}
	answer->response.message_response_case =
		GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_LIST_SERVICES_RESPONSE;
	answer->response.list_services_response = &answer->list;
}

static void answer_make(struct reflection *reflection,
			const Grpc__Reflection__V1__ServerReflectionRequest *request,
			struct answer *answer)
{
	const struct symbol *symbol;
	const struct file *file;

	switch (request->message_request_case) {
	case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME:
		file = file_find(reflection, request->file_by_filename);
		if (file)
			answer_file(reflection, answer, (size_t)(file - reflection->files));
		else
			answer_error(answer, RPC_NOT_FOUND, "no file", request->file_by_filename);
		break;
	case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL:
		symbol = symbol_find(reflection, request->file_containing_symbol);
		if (symbol)
			answer_file(reflection, answer, symbol->file);
		else
			answer_error(answer, RPC_NOT_FOUND, "no symbol",
				     request->file_containing_symbol);
		break;
	case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_EXTENSION:
		answer_error(answer, RPC_NOT_FOUND, "no extension of",
			     request->file_containing_extension->containing_type);
		break;
	case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_ALL_EXTENSION_NUMBERS_OF_TYPE:
		answer_extensions(reflection, answer, request->all_extension_numbers_of_type);
		break;
	case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES:
		answer_services(reflection, answer);
		break;
	default:
		answer_error(answer, RPC_INVALID_ARGUMENT, "the request asks", "nothing");
	}
}

static void handle_info(void *context, struct rpc_call *call, ProtobufCMessage *message)
{
	Grpc__Reflection__V1__ServerReflectionRequest *request =
		(Grpc__Reflection__V1__ServerReflectionRequest *)message;
	struct answer answer = {0};

	grpc__reflection__v1__server_reflection_response__init(&answer.response);
	answer.response.valid_host = request->host;
	answer.response.original_request = request;
	answer_make(context, request, &answer);
	rpc_call_say(call, &answer.response.base);
	free(answer.files.file_descriptor_proto);
	for (size_t i = 0; i < answer.list.n_service; i++)
		free(answer.list.service[i]);
	free(answer.list.service);
}

int reflection_open(struct rpc_server *server, const uint8_t *set, size_t size,
		    struct reflection **result, struct error *err)
{
	const ProtobufCServiceDescriptor *service =
		&grpc__reflection__v1__server_reflection__descriptor;
	struct reflection *reflection = memory_new(sizeof(*reflection));

	*result = reflection;
	reflection->server = server;
	reflection->methods[0] = (struct rpc_method){
		.name = "ServerReflectionInfo",
		.handler = handle_info,
		.role = RPC_ROLE_READ,
		.conversation = true,
	};
	reflection->alpha = *service;
	reflection->alpha.name = "grpc.reflection.v1alpha.ServerReflection";
	reflection->set = sluice__described__file_set__unpack(NULL, size, set);
	if (!reflection->set)
		return error_set(err, "the descriptions of the API are malformed");
	reflection->file_count = reflection->set->n_file;
	reflection->files = memory_new(reflection->file_count * sizeof(*reflection->files));
	for (size_t i = 0; i < reflection->file_count; i++) {
		reflection->files[i].packed = reflection->set->file[i];
		if (file_add(reflection, i, err) < 0)
			return -1;
	}
	qsort(reflection->symbols, reflection->symbol_count, sizeof(struct symbol), symbol_compare);
	if (rpc_server_add(server, service, reflection->methods, reflection, err) < 0)
		return -1;
	return rpc_server_add(server, &reflection->alpha, reflection->methods, reflection, err);
}

void reflection_close(struct reflection *reflection)
{
	if (!reflection)
		return;
	for (size_t i = 0; i < reflection->symbol_count; i++)
		free(reflection->symbols[i].name);
	free(reflection->symbols);
	for (size_t i = 0; reflection->files && i < reflection->file_count; i++) {
		free(reflection->files[i].name);
		free(reflection->files[i].dependencies);
	}
	free(reflection->files);
	if (reflection->set)
		sluice__described__file_set__free_unpacked(reflection->set, NULL);
	free(reflection);
}
