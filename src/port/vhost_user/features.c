#include "port/vhost_user/features.h"

// Of the control virtqueue's features: it is the front-end's own, which asks whether its back-end
// has anything against it.
static const uint64_t all =
	FEATURE(VIRTIO_NET_F_CSUM) | FEATURE(VIRTIO_NET_F_GUEST_CSUM) | FEATURE(VIRTIO_NET_F_MTU) |
	FEATURE(VIRTIO_NET_F_GSO) | FEATURE(VIRTIO_NET_F_GUEST_TSO4) |
	FEATURE(VIRTIO_NET_F_GUEST_TSO6) | FEATURE(VIRTIO_NET_F_GUEST_ECN) |
	FEATURE(VIRTIO_NET_F_GUEST_UFO) | FEATURE(VIRTIO_NET_F_HOST_TSO4) |
	FEATURE(VIRTIO_NET_F_HOST_TSO6) | FEATURE(VIRTIO_NET_F_HOST_ECN) |
	FEATURE(VIRTIO_NET_F_HOST_UFO) | FEATURE(VIRTIO_NET_F_MRG_RXBUF) |
	FEATURE(VIRTIO_NET_F_STATUS) | FEATURE(VIRTIO_NET_F_CTRL_VQ) |
	FEATURE(VIRTIO_NET_F_CTRL_RX) | FEATURE(VIRTIO_NET_F_GUEST_ANNOUNCE) |
	FEATURE(VIRTIO_NET_F_MQ) | FEATURE(FEATURE_LOG_ALL) | FEATURE(VIRTIO_F_ANY_LAYOUT) |
	FEATURE(VIRTIO_RING_F_INDIRECT_DESC) | FEATURE(VIRTIO_RING_F_EVENT_IDX) |
	FEATURE(FEATURE_PROTOCOL) | FEATURE(VIRTIO_F_VERSION_1) | FEATURE(VIRTIO_F_RING_PACKED) |
	FEATURE(FEATURE_IN_ORDER) | FEATURE(FEATURE_GUEST_USO4) | FEATURE(FEATURE_GUEST_USO6) |
	FEATURE(FEATURE_HOST_USO);

// From an uplink nothing comes that is still to be cut (port.h).
static const uint64_t not_uplink = FEATURE(VIRTIO_NET_F_GSO) | FEATURE(VIRTIO_NET_F_HOST_TSO4) |
				   FEATURE(VIRTIO_NET_F_HOST_TSO6) |
				   FEATURE(VIRTIO_NET_F_HOST_ECN) | FEATURE(VIRTIO_NET_F_HOST_UFO) |
				   FEATURE(FEATURE_HOST_USO);

uint64_t vhost_features(bool uplink)
{
	return uplink ? all & ~not_uplink : all;
}

const uint64_t vhost_protocol_features =
	FEATURE(PROTOCOL_MQ) | FEATURE(PROTOCOL_LOG_SHMFD) | FEATURE(PROTOCOL_RARP) |
	FEATURE(PROTOCOL_REPLY_ACK) | FEATURE(PROTOCOL_NET_MTU) | FEATURE(PROTOCOL_RESET_DEVICE) |
	FEATURE(PROTOCOL_CONFIGURE_MEM_SLOTS) | FEATURE(PROTOCOL_STATUS);

uint32_t vhost_features_offloads(uint64_t features)
{
	static const struct {
		uint64_t features;
		uint32_t offload;
	} table[] = {
		{FEATURE(VIRTIO_NET_F_GUEST_TSO4), PORT_OFFLOAD_TSO4},
		{FEATURE(VIRTIO_NET_F_GUEST_TSO6), PORT_OFFLOAD_TSO6},
		{FEATURE(VIRTIO_NET_F_GUEST_UFO), PORT_OFFLOAD_UFO},
		{FEATURE(FEATURE_GUEST_USO4) | FEATURE(FEATURE_GUEST_USO6), PORT_OFFLOAD_USO},
	};
	uint32_t offloads = PORT_OFFLOAD_CHECKSUM;

	// The others need this one (virtio 1.2 section 5.1.3.1).
	if (!(features & FEATURE(VIRTIO_NET_F_GUEST_CSUM)))
		return 0;
	for (unsigned int i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if ((features & table[i].features) == table[i].features)
			offloads |= table[i].offload;
	return offloads;
}
