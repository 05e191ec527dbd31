// Devices: what a Port or a Node's uplink may name, and that each has one user on its node.

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/kind/check.h"
#include "model/object.h"

#define SOCKET_PATH_MAX	   107
#define INTERFACE_NAME_MAX 15
#define NETNS_NAME_MAX	   63
#define DEVARGS_MAX	   255
#define ACCOUNT_MAX	   32

// Adds the device to those that the node uses.
static void device_use(struct check *check, const Sluice__V1__Object *object, const char *field,
		       const char *node, const char *type, const char *name)
{
	const char *const parts[] = {node, type, name};
	char key[1024];
	size_t length = 0;

	if (!*node)
		return;
	for (size_t i = 0; i < 3; i++) {
		size_t part = strlen(parts[i]) + 1;

		// Too long is reported elsewhere.
		if (part > sizeof(key) - length)
			return;
		memcpy(key + length, parts[i], part);
		length += part;
	}
	const Sluice__V1__Object *other = key_map_add(check->devices, key, length, object);
	if (other)
		problems_add(check->problems, object, field, "%s/%s has this device already",
			     object_kind_name(other), object_name(other));
}

static bool file_name_valid(const char *name, size_t max)
{
	size_t length = strlen(name);

	if (length == 0 || length > max || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return false;
	for (const char *c = name; *c; c++)
		if (*c == '/' || isspace((unsigned char)*c) || iscntrl((unsigned char)*c))
			return false;
	return true;
}

void check_interface(struct check *check, const Sluice__V1__Object *object, const char *field,
		     const char *node, const char *netns, const char *name)
{
	char key[512];

	if (!*name) {
		problems_add(check->problems, object, field, "missing");
		return;
	}
	// The kernel takes no colon and expands %d.
	if (!file_name_valid(name, INTERFACE_NAME_MAX) || strpbrk(name, ":%")) {
		problems_add(check->problems, object, field,
			     "'%s' is no interface name (1 to %d characters, no space, slash, "
			     "colon or %%)",
			     name, INTERFACE_NAME_MAX);
		return;
	}
	snprintf(key, sizeof(key), "%.*s/%s", NETNS_NAME_MAX, netns, name);
	device_use(check, object, field, node, "interface", key);
}

void check_netns(struct check *check, const Sluice__V1__Object *object, const char *field,
		 const char *netns)
{
	if (*netns && !file_name_valid(netns, NETNS_NAME_MAX))
		problems_add(check->problems, object, field,
			     "'%s' is no name of a network namespace", netns);
}

void check_pci(struct check *check, const Sluice__V1__Object *object, const char *field,
	       const char *node, const char *address)
{
	static const char form[] = "xxxx:xx:xx.d";
	char key[sizeof(form)];
	size_t i;

	for (i = 0; form[i] && address[i]; i++) {
		char c = (char)tolower((unsigned char)address[i]);

		if (form[i] == 'x'   ? !isxdigit((unsigned char)c)
		    : form[i] == 'd' ? c < '0' || c > '7'
				     : c != form[i])
			break;
		key[i] = c;
	}
	key[i] = 0;
	if (form[i] || address[i])
		problems_add(check->problems, object, field,
			     "'%s' is no PCI address, as 0000:3b:00.0", address);
	else
		device_use(check, object, field, node, "pci", key);
}

void check_devargs(struct check *check, const Sluice__V1__Object *object, const char *field,
		   const char *node, const char *devargs)
{
	if (!*devargs)
		problems_add(check->problems, object, field, "missing");
	else if (strlen(devargs) > DEVARGS_MAX)
		problems_add(check->problems, object, field, "longer than %d characters",
			     DEVARGS_MAX);
	else
		device_use(check, object, field, node, "devargs", devargs);
}

void check_socket(struct check *check, const Sluice__V1__Object *object, const char *field,
		  const char *node, const char *path)
{
	size_t length = strlen(path);

	if (!length)
		problems_add(check->problems, object, field, "missing");
	else if (*path != '/')
		problems_add(check->problems, object, field, "'%s' is no absolute path", path);
	else if (length > SOCKET_PATH_MAX)
		problems_add(check->problems, object, field,
			     "has %zu characters, a socket's path at most %d", length,
			     SOCKET_PATH_MAX);
	else if (path[length - 1] == '/')
		problems_add(check->problems, object, field, "'%s' is a directory", path);
	else
		device_use(check, object, field, node, "socket", path);
}

void check_vlan(struct check *check, const Sluice__V1__Object *object, const char *field,
		const char *node, const char *port, uint32_t id)
{
	char key[1024];

	snprintf(key, sizeof(key), "%u/%s", id, port);
	device_use(check, object, field, node, "vlan", key);
}

void check_permissions(struct check *check, const Sluice__V1__Object *object, const char *field,
		       const char *text)
{
	size_t length = strlen(text);

	if (!length)
		return;
	// Three digits, or four with a leading zero.
	if (strspn(text, "01234567") != length || length < 3 || length > 4 ||
	    (length == 4 && *text != '0'))
		problems_add(check->problems, object, field, "'%s' is not 0000 to 0777 in octal",
			     text);
}

// The name's form is the one of useradd(8); whether there is such an account is known on the node
// only.
void check_account(struct check *check, const Sluice__V1__Object *object, const char *field,
		   const char *what, const char *text)
{
	size_t length = strlen(text);
	bool number = length && strspn(text, "0123456789") == length, valid;

	if (!length)
		return;
	if (number)
		// The last one stands for none.
		valid = length <= 10 && strtoull(text, NULL, 10) < UINT32_MAX;
	else
		valid = length <= ACCOUNT_MAX &&
			strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "0123456789_.-$") == length &&
			*text != '-';
	if (!valid)
		problems_add(check->problems, object, field, "'%s' is no %s's name or number", text,
			     what);
}
