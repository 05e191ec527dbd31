// Interfaces by the old ioctl calls: all that is needed, and one socket for it.

#include "port/interface.h"

#include <ctype.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

bool interface_name_valid(const char *name, struct error *err)
{
	const char *c;

	if (name[0] == 0 || strlen(name) >= IF_NAMESIZE || strcmp(name, ".") == 0 ||
	    strcmp(name, "..") == 0) {
		error_set(err, "'%s': an interface's name has 1 to %d characters", name,
			  IF_NAMESIZE - 1);
		return false;
	}
	// % would be a pattern for which the kernel chooses a number.
	for (c = name; *c; c++) {
		if (*c == '/' || *c == ':' || *c == '%' || !isgraph((unsigned char)*c)) {
			error_set(err, "'%s': an interface's name has no '/', ':', '%%' or spaces",
				  name);
			return false;
		}
	}
	return true;
}

static void request_name(struct ifreq *request, const struct interface *interface)
{
	memset(request, 0, sizeof(*request));
	memcpy(request->ifr_name, interface->name, sizeof(request->ifr_name));
}

// What not every driver tells.
static void ethtool_get(int fd, struct interface *interface)
{
	struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
	struct ethtool_drvinfo information = {.cmd = ETHTOOL_GDRVINFO};
	struct ifreq request;

	interface->receive_queues = 1;
	request_name(&request, interface);
	request.ifr_data = (void *)&channels;
	if (ioctl(fd, SIOCETHTOOL, &request) == 0 &&
	    channels.combined_count + channels.rx_count > 0)
		interface->receive_queues = channels.combined_count + channels.rx_count;
	request_name(&request, interface);
	request.ifr_data = (void *)&information;
	if (ioctl(fd, SIOCETHTOOL, &request) == 0)
		snprintf(interface->driver, sizeof(interface->driver), "%.*s",
			 (int)sizeof(interface->driver) - 1, information.driver);
}

int interface_get(const char *name, struct interface *interface, struct error *err)
{
	struct ifreq request;
	int fd, result = -1;

	memset(interface, 0, sizeof(*interface));
	if (!interface_name_valid(name, err))
		return -1;
	snprintf(interface->name, sizeof(interface->name), "%s", name);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_errno(err, "%s: socket", name);
	request_name(&request, interface);
	if (ioctl(fd, SIOCGIFINDEX, &request) < 0) {
		if (errno == ENODEV)
			error_set(err, "%s: there is no such interface", name);
		else
			error_errno(err, "%s", name);
		goto out;
	}
	interface->index = (unsigned int)request.ifr_ifindex;
	if (ioctl(fd, SIOCGIFHWADDR, &request) < 0) {
		error_errno(err, "%s: MAC address", name);
		goto out;
	}
	if (request.ifr_hwaddr.sa_family != ARPHRD_ETHER) {
		error_set(err, "%s: is not an Ethernet interface", name);
		goto out;
	}
	memcpy(interface->mac.bytes, request.ifr_hwaddr.sa_data, sizeof(interface->mac));
	if (ioctl(fd, SIOCGIFMTU, &request) < 0) {
		error_errno(err, "%s: MTU", name);
		goto out;
	}
	interface->mtu = (unsigned int)request.ifr_mtu;
	if (ioctl(fd, SIOCGIFFLAGS, &request) < 0) {
		error_errno(err, "%s: flags", name);
		goto out;
	}
	interface->up = request.ifr_flags & IFF_UP;
	ethtool_get(fd, interface);
	result = 0;
out:
	close(fd);
	return result;
}

bool interface_has_link(unsigned int index, bool *gone)
{
	struct ifreq request = {0};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool link = false;

	*gone = false;
	if (fd < 0)
		return true;
	request.ifr_ifindex = (int)index;
	if (ioctl(fd, SIOCGIFNAME, &request) < 0 || ioctl(fd, SIOCGIFFLAGS, &request) < 0)
		*gone = errno == ENODEV || errno == ENXIO;
	else
		link = (request.ifr_flags & (IFF_UP | IFF_RUNNING)) == (IFF_UP | IFF_RUNNING);
	close(fd);
	return link;
}

int interface_set_up(const struct interface *interface, struct error *err)
{
	struct ifreq request;
	int fd, result = -1;

	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_errno(err, "%s: socket", interface->name);
	request_name(&request, interface);
	if (ioctl(fd, SIOCGIFFLAGS, &request) == 0) {
		request.ifr_flags |= IFF_UP;
		result = ioctl(fd, SIOCSIFFLAGS, &request);
	}
	if (result < 0)
		error_errno(err, "%s: cannot be set up", interface->name);
	close(fd);
	return result;
}

int interface_hold_promiscuous(const struct interface *interface, struct error *err)
{
	struct packet_mreq membership = {.mr_ifindex = (int)interface->index,
					 .mr_type = PACKET_MR_PROMISC};
	int fd;

	// Without a protocol the socket itself receives nothing.
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (fd >= 0 &&
	    setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &membership, sizeof(membership)) == 0)
		return fd;
	error_errno(err, "%s: promiscuous mode", interface->name);
	if (fd >= 0)
		close(fd);
	return -1;
}
