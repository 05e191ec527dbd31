// What the checks of the kinds share: references, addresses, prefixes.

#include "model/kind/check.h"

#include <stdarg.h>

#include "model/kind.h"
#include "model/memory.h"
#include "model/message.h"
#include "model/object.h"

#define NAMES_COMPARED_MAX 20000

// Only %s and %zu. It runs for every element of every list, where snprintf would take most of the
// time.
const char *check_path(char path[CHECK_PATH_SIZE], const char *format, ...)
{
	char digits[24];
	size_t used = 0;
	va_list args;

	va_start(args, format);
	while (*format && used < CHECK_PATH_SIZE - 1) {
		const char *text = digits;
		char *digit = digits + sizeof(digits) - 1;

		if (*format != '%') {
			path[used++] = *format++;
			continue;
		}
		*digit = 0;
		if (format[1] == 's') {
			text = va_arg(args, const char *);
			format += 2;
		} else {
			size_t number = va_arg(args, size_t);

			do
				*--digit = (char)('0' + number % 10);
			while (number /= 10);
			text = digit;
			format += 3;
		}
		while (*text && used < CHECK_PATH_SIZE - 1)
			path[used++] = *text++;
	}
	va_end(args);
	path[used] = 0;
	return path;
}

// The name of the kind that is nearest to a wrong one. Comparing takes its time, so not all of many
// wrong ones in large sets get one.
static const char *name_suggest(struct check *check, Sluice__V1__Object__KindCase kind,
				const char *name)
{
	size_t count = check_count(check, kind);
	const char **words, *near;

	// It is there no more: another one is not what was meant.
	if (check->before && object_set_find(check->before, kind, name))
		return NULL;
	if (count > NAMES_COMPARED_MAX - check->suggestions)
		return NULL;
	check->suggestions += count;
	words = memory_new(count * sizeof(*words));
	for (size_t i = 0; i < count; i++)
		words[i] = object_name(check_at(check, kind, i));
	near = nearest_word(name, words, count);
	free(words);
	return near;
}

bool check_reference(struct check *check, const Sluice__V1__Object *object, const char *field,
		     Sluice__V1__Object__KindCase kind, const char *name)
{
	if (!*name) {
		problems_add(check->problems, object, field, "missing");
		return false;
	}
	if (object_set_find(check->set, kind, name))
		return true;
	const char *near = name_suggest(check, kind, name);
	problem_missing(problems_add(check->problems, object, field, "no %s '%s'%s%s%s",
				     kind_name(kind), name, near ? ", did you mean '" : "",
				     near ? near : "", near ? "'?" : ""),
			kind_name(kind), name);
	return false;
}

bool check_address(struct check *check, const Sluice__V1__Object *object, const char *field,
		   const char *text, struct ip_address *address)
{
	if (ip_parse(text, address))
		return true;
	problems_add(check->problems, object, field, "'%s' is no IP address", text);
	return false;
}

bool check_prefix(struct check *check, const Sluice__V1__Object *object, const char *field,
		  const char *text, struct ip_prefix *prefix)
{
	char right[IP_TEXT_SIZE];

	if (!*text) {
		problems_add(check->problems, object, field, "missing");
		return false;
	}
	if (!prefix_parse(text, prefix)) {
		problems_add(check->problems, object, field,
			     "'%s' is no prefix, as 10.1.0.0/24 or fd00:1::/64", text);
		return false;
	}
	if (prefix_clean(prefix))
		return true;
	struct ip_prefix clean = *prefix;
	for (unsigned bit = prefix->length; bit < 128; bit++)
		clean.address.bytes[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
	problems_add(check->problems, object, field,
		     "'%s' has bits behind its prefix, did you mean %s?", text,
		     prefix_format(&clean, right));
	return false;
}

bool check_mac(struct check *check, const Sluice__V1__Object *object, const char *field,
	       const char *text, struct mac_address *mac)
{
	static const struct mac_address zero;
	static const uint8_t own[3] = {0x02, 0x53, 0x4c}, relays[3] = {0x06, 0x53, 0x4c};

	if (!*text)
		problems_add(check->problems, object, field, "missing");
	else if (!mac_parse(text, mac))
		problems_add(check->problems, object, field,
			     "'%s' is no MAC address, as 52:54:00:00:00:01", text);
	else if (mac_equal(mac, &zero))
		problems_add(check->problems, object, field, "must not be zero");
	else if (mac_is_multicast(mac))
		problems_add(check->problems, object, field, "'%s' is a multicast address", text);
	else if (memcmp(mac->bytes, own, sizeof(own)) == 0)
		problems_add(check->problems, object, field,
			     "02:53:4c:xx:xx:xx are the addresses of Sluice's gateways");
	else if (memcmp(mac->bytes, relays, sizeof(relays)) == 0)
		problems_add(check->problems, object, field,
			     "06:53:4c:xx:xx:xx are what Sluice's nodes relay with");
	else
		return true;
	return false;
}

bool prefix_is_v4(const struct ip_prefix *prefix)
{
	return prefix->length >= 96 && ip_is_v4(&prefix->address);
}

bool check_host_address(struct check *check, const Sluice__V1__Object *object, const char *field,
			const struct ip_address *address)
{
	static const struct ip_address zero;
	static const struct ip_address loopback = {.bytes = {[15] = 1}};
	const char *what = NULL;
	char text[IP_TEXT_SIZE];

	if (ip_is_multicast(address))
		what = "a multicast or broadcast";
	else if (ip_equal(address, &zero) || (ip_is_v4(address) && address->bytes[12] == 0))
		what = "an unspecified";
	else if (ip_equal(address, &loopback) || (ip_is_v4(address) && address->bytes[12] == 127))
		what = "a loopback";
	else if (ip_is_v4(address) && address->bytes[12] >= 240)
		what = "a reserved";
	if (!what)
		return true;
	problems_add(check->problems, object, field, "%s is %s address", ip_format(address, text),
		     what);
	return false;
}

bool check_inside(struct check *check, const Sluice__V1__Object *object, const char *field,
		  const struct ip_address *address, const struct ip_prefix *prefix)
{
	char text[IP_TEXT_SIZE];
	char prefix_text[IP_TEXT_SIZE];
	uint32_t host_mask;

	if (ip_is_v4(address) != prefix_is_v4(prefix)) {
		problems_add(check->problems, object, field, "%s is %s, and %s is not",
			     ip_format(address, text), ip_is_v4(address) ? "IPv4" : "IPv6",
			     prefix_format(prefix, prefix_text));
		return false;
	}
	if (!ip_in_prefix(address, prefix)) {
		problems_add(check->problems, object, field, "%s is not in %s",
			     ip_format(address, text), prefix_format(prefix, prefix_text));
		return false;
	}
	if (!prefix_is_v4(prefix) || prefix->length >= 127)
		return true;
	host_mask = UINT32_MAX >> (prefix->length - 96);
	uint32_t host = ntohl(address->words[3]) & host_mask;
	if (host != 0 && host != host_mask)
		return true;
	problems_add(check->problems, object, field, "%s is the %s address of %s",
		     ip_format(address, text), host ? "broadcast" : "network",
		     prefix_format(prefix, prefix_text));
	return false;
}

void check_port_number(struct check *check, const Sluice__V1__Object *object, const char *field,
		       uint32_t number)
{
	if (number < 1 || number > 65535)
		problems_add(check->problems, object, field, "%u is not 1 to 65535", number);
}
