// The way to the other nodes: does what the networks send fit, and do the others answer?

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/if_ether.h>
#include <netinet/ip6.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/address.h"
#include "cli/doctor/doctor.h"

#define TARGETS_MAX 512
#define ROUNDS	    4
#define ROUND_MS    250

// Inner Ethernet header, VXLAN, UDP; then the outer IP header.
#define TUNNEL_BYTES (14 + 8 + 8)

struct link {
	int fd;
	int index;
	uint32_t mtu;
	uint8_t mac[6];
};

struct target {
	struct ip_address address;
	const char *node; // NULL: the gateway
	bool answered;
};

// sluiced's uplink may be in a network namespace of its own.
static bool namespace_enter(const struct doctor *doctor)
{
	struct stat own, other;
	char path[64];
	bool entered;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)doctor->pid);
	if (stat("/proc/self/ns/net", &own) < 0 || stat(path, &other) < 0)
		return false;
	if (own.st_ino == other.st_ino)
		return true;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	entered = fd >= 0 && setns(fd, CLONE_NEWNET) == 0;
	if (fd >= 0)
		close(fd);
	return entered;
}

// Opens the netdev for frames of ARP and ND. -1 with errno.
static int link_open(const char *name, struct link *link)
{
	struct sockaddr_ll place = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	struct ifreq request;

	memset(&request, 0, sizeof(request));
	if (strlen(name) >= sizeof(request.ifr_name)) {
		errno = ENODEV;
		return -1;
	}
	strcpy(request.ifr_name, name);
	link->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (link->fd < 0)
		return -1;
	if (ioctl(link->fd, SIOCGIFINDEX, &request) < 0)
		goto failed;
	link->index = place.sll_ifindex = request.ifr_ifindex;
	if (ioctl(link->fd, SIOCGIFMTU, &request) < 0)
		goto failed;
	link->mtu = (uint32_t)request.ifr_mtu;
	if (ioctl(link->fd, SIOCGIFHWADDR, &request) < 0)
		goto failed;
	memcpy(link->mac, request.ifr_hwaddr.sa_data, 6);
	if (bind(link->fd, (struct sockaddr *)&place, sizeof(place)) < 0)
		goto failed;
	return 0;
failed:
	close(link->fd);
	return -1;
}

// RFC 5227: without a sender's address, so that nobody learns anything wrong.
static size_t arp_probe(const struct link *link, const struct ip_address *target, uint8_t *frame)
{
	struct ether_header *ethernet = (struct ether_header *)frame;
	struct ether_arp *arp = (struct ether_arp *)(ethernet + 1);

	memset(frame, 0, 60);
	memset(ethernet->ether_dhost, 0xff, 6);
	memcpy(ethernet->ether_shost, link->mac, 6);
	ethernet->ether_type = htons(ETHERTYPE_ARP);
	arp->arp_hrd = htons(ARPHRD_ETHER);
	arp->arp_pro = htons(ETHERTYPE_IP);
	arp->arp_hln = 6;
	arp->arp_pln = 4;
	arp->arp_op = htons(ARPOP_REQUEST);
	memcpy(arp->arp_sha, link->mac, 6);
	memcpy(arp->arp_tpa, &target->words[3], 4);
	return 60;
}

static uint16_t icmp6_checksum(const struct ip6_hdr *ip, const uint8_t *data, uint32_t size)
{
	uint32_t sum = size + IPPROTO_ICMPV6;
	const uint8_t *addresses = (const uint8_t *)&ip->ip6_src;

	for (int i = 0; i < 32; i += 2)
		sum += (uint32_t)addresses[i] << 8 | addresses[i + 1];
	for (uint32_t i = 0; i + 1 < size; i += 2)
		sum += (uint32_t)data[i] << 8 | data[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

// As a probe for duplicates (RFC 4862 section 5.4.2): no sender here either.
static size_t nd_probe(const struct link *link, const struct ip_address *target, uint8_t *frame)
{
	struct ether_header *ethernet = (struct ether_header *)frame;
	struct ip6_hdr *ip = (struct ip6_hdr *)(ethernet + 1);
	struct nd_neighbor_solicit *solicit = (struct nd_neighbor_solicit *)(ip + 1);
	uint8_t *group = ip->ip6_dst.s6_addr;
	const size_t size = sizeof(*ethernet) + sizeof(*ip) + sizeof(*solicit);

	memset(frame, 0, size);
	group[0] = 0xff;
	group[1] = 0x02;
	group[11] = 1;
	group[12] = 0xff;
	memcpy(group + 13, target->bytes + 13, 3);
	ethernet->ether_dhost[0] = ethernet->ether_dhost[1] = 0x33;
	memcpy(ethernet->ether_dhost + 2, group + 12, 4);
	memcpy(ethernet->ether_shost, link->mac, 6);
	ethernet->ether_type = htons(ETHERTYPE_IPV6);
	ip->ip6_flow = htonl(6u << 28);
	ip->ip6_plen = htons(sizeof(*solicit));
	ip->ip6_nxt = IPPROTO_ICMPV6;
	ip->ip6_hlim = 255;
	solicit->nd_ns_type = ND_NEIGHBOR_SOLICIT;
	memcpy(&solicit->nd_ns_target, target->bytes, 16);
	solicit->nd_ns_cksum = icmp6_checksum(ip, (const uint8_t *)solicit, sizeof(*solicit));
	return size;
}

// Whose answer the frame is; false: it is none.
static bool answer_read(const uint8_t *frame, size_t size, struct ip_address *address)
{
	struct ether_header ethernet;
	struct ether_arp arp;
	struct nd_neighbor_advert advert;
	const size_t nd_at = sizeof(ethernet) + sizeof(struct ip6_hdr);
	const size_t next_at = sizeof(ethernet) + offsetof(struct ip6_hdr, ip6_nxt);

	if (size < sizeof(ethernet))
		return false;
	memcpy(&ethernet, frame, sizeof(ethernet));
	if (ntohs(ethernet.ether_type) == ETHERTYPE_ARP && size >= sizeof(ethernet) + sizeof(arp)) {
		uint32_t v4;

		memcpy(&arp, frame + sizeof(ethernet), sizeof(arp));
		memcpy(&v4, arp.arp_spa, 4);
		*address = ip_from_v4(v4);
		return arp.arp_op == htons(ARPOP_REPLY);
	}
	if (ntohs(ethernet.ether_type) != ETHERTYPE_IPV6 || size < nd_at + sizeof(advert) ||
	    frame[next_at] != IPPROTO_ICMPV6)
		return false;
	memcpy(&advert, frame + nd_at, sizeof(advert));
	memcpy(address->bytes, &advert.nd_na_target, 16);
	return advert.nd_na_type == ND_NEIGHBOR_ADVERT;
}

static bool answers_collect(const struct link *link, struct target *targets, size_t count,
			    int milliseconds)
{
	struct timespec now;
	int64_t end, left;
	size_t missing;

	clock_gettime(CLOCK_MONOTONIC, &now);
	end = now.tv_sec * 1000 + now.tv_nsec / 1000000 + milliseconds;
	for (;;) {
		struct pollfd wait = {.fd = link->fd, .events = POLLIN};
		struct ip_address address;
		uint8_t frame[256];

		missing = 0;
		for (size_t i = 0; i < count; i++)
			missing += !targets[i].answered;
		clock_gettime(CLOCK_MONOTONIC, &now);
		left = end - now.tv_sec * 1000 - now.tv_nsec / 1000000;
		if (!missing || left <= 0 || poll(&wait, 1, (int)left) <= 0)
			return !missing;
		ssize_t size = recv(link->fd, frame, sizeof(frame), MSG_DONTWAIT | MSG_TRUNC);
		if (size <= 0 ||
		    !answer_read(frame, (size_t)size < sizeof(frame) ? (size_t)size : sizeof(frame),
				 &address))
			continue;
		for (size_t i = 0; i < count; i++)
			targets[i].answered |= ip_equal(&targets[i].address, &address);
	}
}

static void targets_ask(const struct link *link, struct target *targets, size_t count)
{
	_Alignas(8) uint8_t frame[128];

	for (int round = 0; round < ROUNDS; round++) {
		for (size_t i = 0; i < count; i++) {
			const struct ip_address *address = &targets[i].address;
			size_t size;

			if (targets[i].answered)
				continue;
			// Two bytes before it, so that the IP header is aligned.
			size = ip_is_v4(address) ? arp_probe(link, address, frame + 2)
						 : nd_probe(link, address, frame + 2);
			if (send(link->fd, frame + 2, size, 0) < 0)
				return;
		}
		if (answers_collect(link, targets, count, ROUND_MS))
			return;
	}
}

static void target_add(struct target *targets, size_t *count, const struct ip_address *address,
		       const char *node)
{
	for (size_t i = 0; i < *count; i++)
		if (ip_equal(&targets[i].address, address))
			return;
	if (*count < TARGETS_MAX)
		targets[(*count)++] = (struct target){.address = *address, .node = node};
}

// Who has to answer on this link: the other nodes that are on it, or the gateway to them.
static size_t targets_find(const struct doctor *doctor, struct target *targets)
{
	struct ip_prefix own, other;
	struct ip_address gateway;
	size_t count = 0;

	if (!prefix_parse(doctor->node->vtep, &own))
		return 0;
	for (size_t i = 0; i < doctor->nodes->n_objects; i++) {
		const Sluice__V1__Node *node = doctor->nodes->objects[i]->node;

		if (node == doctor->node || !prefix_parse(node->vtep, &other) ||
		    ip_is_v4(&other.address) != ip_is_v4(&own.address))
			continue;
		if (ip_in_prefix(&other.address, &own))
			target_add(targets, &count, &other.address, node->name);
		else if (ip_parse(doctor->node->gateway, &gateway))
			target_add(targets, &count, &gateway, NULL);
	}
	return count;
}

static void targets_report(struct doctor *doctor, const struct target *targets, size_t count)
{
	size_t answered = 0;

	for (size_t i = 0; i < count; i++) {
		char text[IP_TEXT_SIZE];

		answered += targets[i].answered;
		if (!targets[i].answered && targets[i].node)
			finding_add(
				doctor, "underlay", FINDING_PROBLEM,
				"is sluiced running there, its uplink up, and in the same VLAN as "
				"this one? Is the address its vtep?",
				"Node/%s at %s does not answer on the link", targets[i].node,
				ip_format(&targets[i].address, text));
		else if (!targets[i].answered)
			finding_add(doctor, "underlay", FINDING_PROBLEM,
				    "is it the underlay's router (Node's gateway), and in the same "
				    "VLAN as the uplink?",
				    "the gateway %s does not answer on the link",
				    ip_format(&targets[i].address, text));
	}
	if (!count)
		finding_add(doctor, "underlay", FINDING_OK, "",
			    "there are no other nodes to reach");
	else if (answered)
		finding_add(doctor, "underlay", FINDING_OK, "",
			    "%zu of %zu next hops to other nodes answer", answered, count);
}

void doctor_reachability(struct doctor *doctor)
{
	static struct target targets[TARGETS_MAX];
	const char *netdev;
	struct link link;
	size_t count;

	if (!doctor->node || !doctor->nodes || !doctor->node->uplink)
		return;
	netdev = doctor_uplink_netdev(doctor);
	if (!netdev) {
		finding_add(doctor, "underlay", FINDING_OK, "",
			    "not asked: the uplink is no interface of the kernel's (sluice stats "
			    "has its counters)");
		return;
	}
	if (!doctor->pid || !namespace_enter(doctor) || link_open(netdev, &link) < 0) {
		finding_add(doctor, "underlay", FINDING_WARNING,
			    "run sluice doctor as root on the node itself; is the interface there?",
			    "not known: %s can't be opened (%s)", netdev, strerror(errno));
		return;
	}
	count = targets_find(doctor, targets);
	targets_ask(&link, targets, count);
	targets_report(doctor, targets, count);
	close(link.fd);
}

// What the uplink takes: as the object says, or the interface, or 1500. In a process of its own
// would be too much: the namespace is entered, and nothing after this needs another one.
static uint32_t uplink_mtu(const struct doctor *doctor)
{
	const Sluice__V1__Uplink *uplink = doctor->node->uplink;
	const char *netdev = doctor_uplink_netdev(doctor);
	struct link link;

	if (uplink->mtu)
		return uplink->mtu;
	if (!netdev)
		return 1500;
	if (!doctor->pid || !namespace_enter(doctor) || link_open(netdev, &link) < 0)
		return 0;
	close(link.fd);
	return link.mtu;
}

void doctor_mtu(struct doctor *doctor)
{
	struct ip_prefix vtep;
	uint32_t mtu, overhead, wrong = 0;

	if (!doctor->node || !doctor->node->uplink || !doctor->networks ||
	    !prefix_parse(doctor->node->vtep, &vtep))
		return;
	mtu = uplink_mtu(doctor);
	overhead = TUNNEL_BYTES + (ip_is_v4(&vtep.address) ? 20 : 40);
	if (!mtu) {
		finding_add(doctor, "underlay MTU", FINDING_WARNING,
			    "run sluice doctor as root on the node itself", "not known");
		return;
	}
	for (size_t i = 0; i < doctor->networks->n_objects; i++) {
		const Sluice__V1__Network *network = doctor->networks->objects[i]->network;
		uint32_t wanted = network->mtu ? network->mtu : 1450;

		if (!network->vni || wanted + overhead <= mtu)
			continue;
		wrong++;
		finding_add(
			doctor, "underlay MTU", FINDING_WARNING,
			"raise the MTU of the uplink and the underlay, or lower that of the "
			"network (workloads are told by ICMP meanwhile)",
			"Network/%s has %u bytes and needs %u in the tunnel; the uplink takes %u",
			network->name, wanted, wanted + overhead, mtu);
	}
	if (!wrong)
		finding_add(doctor, "underlay MTU", FINDING_OK, "",
			    "the uplink takes %u bytes, %u inside a tunnel: all networks fit", mtu,
			    mtu - overhead);
}
