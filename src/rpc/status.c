// How a call ended.

#include "rpc/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/memory.h"
#include "rpc_status.pb-c.h"

#define TYPE_PREFIX "type.googleapis.com/"

const char *rpc_code_name(enum rpc_code code)
{
	static const char *const names[] = {
		"OK",
		"CANCELLED",
		"UNKNOWN",
		"INVALID_ARGUMENT",
		"DEADLINE_EXCEEDED",
		"NOT_FOUND",
		"ALREADY_EXISTS",
		"PERMISSION_DENIED",
		"RESOURCE_EXHAUSTED",
		"FAILED_PRECONDITION",
		"ABORTED",
		"OUT_OF_RANGE",
		"UNIMPLEMENTED",
		"INTERNAL",
		"UNAVAILABLE",
		"DATA_LOSS",
		"UNAUTHENTICATED",
	};

	return (unsigned)code < sizeof(names) / sizeof(*names) ? names[code] : "UNKNOWN";
}

int rpc_status_set(struct rpc_status *status, enum rpc_code code, const char *format, ...)
{
	va_list args;

	rpc_status_clear(status);
	status->code = code;
	va_start(args, format);
	vsnprintf(status->message, sizeof(status->message), format, args);
	va_end(args);
	return -1;
}

void rpc_status_set_details(struct rpc_status *status, const ProtobufCMessage *const details[],
			    size_t count)
{
	Sluice__Rpc__Any *anys = memory_new(count * sizeof(*anys));
	Sluice__Rpc__Any **list = memory_new(count * sizeof(*list));
	Sluice__Rpc__Status message;

	sluice__rpc__status__init(&message);
	message.code = (int32_t)status->code;
	message.message = status->message;
	message.details = list;
	message.n_details = count;
	for (size_t i = 0; i < count; i++) {
		sluice__rpc__any__init(&anys[i]);
		if (asprintf(&anys[i].type_url, TYPE_PREFIX "%s", details[i]->descriptor->name) < 0)
			memory_required(NULL);
		anys[i].value.len = protobuf_c_message_get_packed_size(details[i]);
		anys[i].value.data = memory_new(anys[i].value.len);
		protobuf_c_message_pack(details[i], anys[i].value.data);
		list[i] = &anys[i];
	}
	free(status->details);
	status->details_size = sluice__rpc__status__get_packed_size(&message);
	status->details = memory_new(status->details_size);
	sluice__rpc__status__pack(&message, status->details);
	for (size_t i = 0; i < count; i++) {
		free(anys[i].type_url);
		free(anys[i].value.data);
	}
	free(list);
	free(anys);
}

ProtobufCMessage *rpc_status_detail(const struct rpc_status *status,
				    const ProtobufCMessageDescriptor *type)
{
	ProtobufCMessage *detail = NULL;
	Sluice__Rpc__Status *message;
	char url[256];

	if (!status->details)
		return NULL;
	message = sluice__rpc__status__unpack(NULL, status->details_size, status->details);
	if (!message)
		return NULL;
	snprintf(url, sizeof(url), TYPE_PREFIX "%s", type->name);
	for (size_t i = 0; i < message->n_details && !detail; i++)
		if (strcmp(message->details[i]->type_url, url) == 0)
			detail = protobuf_c_message_unpack(type, NULL,
							   message->details[i]->value.len,
							   message->details[i]->value.data);
	sluice__rpc__status__free_unpacked(message, NULL);
	return detail;
}

void rpc_status_clear(struct rpc_status *status)
{
	free(status->details);
	memset(status, 0, sizeof(*status));
}

char *percent_encode(const char *text)
{
	char *result = memory_new(strlen(text) * 3 + 1);
	char *out = result;

	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < 0x20 || c > 0x7e || c == '%')
			out += sprintf(out, "%%%02X", c);
		else
			*out++ = *text;
	}
	*out = 0;
	return result;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
				      : -1;
}

void percent_decode(const char *text, size_t length, char *result, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < length && used + 1 < size; i++) {
		if (text[i] == '%' && i + 2 < length && hex_digit(text[i + 1]) >= 0 &&
		    hex_digit(text[i + 2]) >= 0) {
			result[used++] =
				(char)(hex_digit(text[i + 1]) << 4 | hex_digit(text[i + 2]));
			i += 2;
		} else {
			result[used++] = text[i];
		}
	}
	result[used] = 0;
}

static const char base64_digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(const uint8_t *data, size_t size)
{
	char *result = memory_new((size + 2) / 3 * 4 + 1);
	char *out = result;

	for (size_t i = 0; i < size; i += 3) {
		uint32_t group = (uint32_t)data[i] << 16;

		if (i + 1 < size)
			group |= (uint32_t)data[i + 1] << 8;
		if (i + 2 < size)
			group |= data[i + 2];
		*out++ = base64_digits[group >> 18];
		*out++ = base64_digits[group >> 12 & 63];
		// Without padding, as gRPC sends it.
		if (i + 1 < size)
			*out++ = base64_digits[group >> 6 & 63];
		if (i + 2 < size)
			*out++ = base64_digits[group & 63];
	}
	*out = 0;
	return result;
}

uint8_t *base64_decode(const char *text, size_t length, size_t *size)
{
	uint8_t *result;
	uint32_t group = 0;
	unsigned bits = 0;

	while (length && text[length - 1] == '=')
		length--;
	result = memory_new(length * 3 / 4 + 1);
	*size = 0;
	for (size_t i = 0; i < length; i++) {
		const char *digit = text[i] ? strchr(base64_digits, text[i]) : NULL;

		if (!digit) {
			free(result);
			return NULL;
		}
		group = group << 6 | (uint32_t)(digit - base64_digits);
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			result[(*size)++] = (uint8_t)(group >> bits);
		}
	}
	return result;
}
