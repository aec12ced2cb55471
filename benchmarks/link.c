/* A long wire between two network namespaces: what the one's kernel sends, the other's gets, later or never.
 *
 * link NEAR FAR RATE DELAY LOSS
 *   NEAR, FAR  paths of two network namespaces; in each a TUN device `wan0` is made
 *   RATE       bits a second, each way
 *   DELAY      microseconds, each way
 *   LOSS       packets of a million that are lost, each way, by chance
 *
 * TCP on both ends is the kernel's own, and so are its retransmissions and its congestion control. A packet waits for
 * those before it; one that would wait longer than QUEUE is lost, as in a router with a queue of that length.
 *
 * A kernel hands over many segments of one connection as one packet, as it does to any modern network card (TSO), and
 * the other takes them so (GRO): one by one they cost a core at 1 Gbit/s. Lost is always a segment, never all of them:
 * what stands before and after it goes on as packets of its own.
 *
 * Sources: Linux, Documentation/networking/tuntap.rst and include/uapi/linux/virtio_net.h. IPv4 only.
 * Prints `ready` when both devices stand; ends when it is killed, and the devices with it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define QUEUE 30000000 /* nanoseconds */
#define SECOND 1000000000LL

struct packet {
    struct packet *next;
    int64_t due;
    struct virtio_net_hdr about;
    int length;
    char bytes[];
};

struct way {
    int from, to;
    int64_t free; /* when the wire has sent all that was put on it */
    struct packet *first, **end;
};

static int64_t rate, delay, loss;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * SECOND + t.tv_nsec;
}

static int device_in(const char *namespace) {
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR, .ifr_name = "wan0"};
    int there = open(namespace, O_RDONLY | O_CLOEXEC);
    if (there < 0 || setns(there, CLONE_NEWNET)) die(namespace);
    int device = open("/dev/net/tun", O_RDWR | O_NONBLOCK); /* belongs to the namespace it was opened in */
    if (device < 0 || ioctl(device, TUNSETIFF, &request)) die("/dev/net/tun");
    if (ioctl(device, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4)) die("TUNSETOFFLOAD");
    close(there);
    return device;
}

static void put(struct way *way, struct virtio_net_hdr about, const char *head, int head_length, const char *data,
                int data_length) {
    struct packet *packet = malloc(sizeof *packet + head_length + data_length);
    if (!packet) die("malloc");
    *packet = (struct packet){.due = way->free + delay, .about = about, .length = head_length + data_length};
    memcpy(packet->bytes, head, head_length);
    memcpy(packet->bytes + head_length, data, data_length);
    *way->end = packet;
    way->end = &packet->next;
}

static uint16_t folded(uint32_t sum) {
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

/* Puts a run of segments on the way: data from `start` to `end` behind a head that says so. */
static void put_run(struct way *way, struct virtio_net_hdr about, const char *whole, int length, int start, int end) {
    char head[128];
    struct iphdr *ip = (struct iphdr *)head;
    int head_length = about.hdr_len;
    memcpy(head, whole, head_length);
    struct tcphdr *tcp = (struct tcphdr *)(head + ip->ihl * 4);
    int tcp_length = head_length - ip->ihl * 4, data_length = end - start;
    uint32_t sum = 0;
    ip->tot_len = htons(head_length + data_length);
    ip->check = 0;
    for (int i = 0; i < ip->ihl * 2; i++) sum += ((uint16_t *)head)[i];
    ip->check = ~folded(sum);
    tcp->seq = htonl(ntohl(tcp->seq) + start);
    if (head_length + end < length) tcp->fin = tcp->psh = 0;
    /* Here stands the sum of the pseudo header, its length among it; the receiving kernel trusts or completes it. */
    tcp->check = folded(tcp->check + (uint16_t)~htons(tcp_length + length - head_length) + htons(tcp_length + data_length));
    if (data_length <= about.gso_size) about.gso_type = about.gso_size = 0;
    put(way, about, head, head_length, whole + head_length + start, data_length);
}

/* Whether the wire takes `length` bytes more; they are on it then. */
static int fits(struct way *way, int64_t here, int length) {
    int64_t start = way->free > here ? way->free : here;
    if (start - here > QUEUE || random() % 1000000 < loss) return 0;
    way->free = start + length * 8 * SECOND / rate;
    return 1;
}

static void take(struct way *way) {
    static char bytes[65536];
    struct virtio_net_hdr about;
    struct iovec parts[] = {{&about, sizeof about}, {bytes, sizeof bytes}};
    int length;
    while ((length = readv(way->from, parts, 2) - (int)sizeof about) > 0) {
        int64_t here = now();
        if (about.gso_type == VIRTIO_NET_HDR_GSO_NONE) {
            if (fits(way, here, length)) put(way, about, bytes, length, NULL, 0);
            continue;
        }
        struct iphdr *ip = (struct iphdr *)bytes;
        int head = ip->ihl * 4 + ((struct tcphdr *)(bytes + ip->ihl * 4))->doff * 4, size = length - head, start = 0;
        about.hdr_len = head;
        for (int end = 0; end < size;) {
            int segment = end + about.gso_size < size ? about.gso_size : size - end;
            int lost = !fits(way, here, head + segment);
            if (lost && end > start) put_run(way, about, bytes, length, start, end);
            end += segment;
            if (lost) start = end;
        }
        if (size > start) put_run(way, about, bytes, length, start, size);
    }
}

/* Hands over all that is due; how many nanoseconds until the next is. */
static int64_t give(struct way *way) {
    struct packet *packet;
    while ((packet = way->first)) {
        int64_t left = packet->due - now();
        if (left > 0) return left;
        struct iovec parts[] = {{&packet->about, sizeof packet->about}, {packet->bytes, packet->length}};
        if (writev(way->to, parts, 2) < 0 && errno != EAGAIN && errno != EIO) die("write"); /* EIO: not up yet */
        if (!(way->first = packet->next)) way->end = &way->first;
        free(packet);
    }
    return SECOND;
}

int main(int count, char **arguments) {
    if (count != 6) return 2;
    int near = device_in(arguments[1]), far = device_in(arguments[2]);
    struct way there = {.from = near, .to = far, .end = &there.first};
    struct way back = {.from = far, .to = near, .end = &back.first};
    rate = atoll(arguments[3]), delay = atoll(arguments[4]) * 1000, loss = atoll(arguments[5]);
    puts("ready");
    fflush(stdout);
    for (;;) {
        take(&there);
        take(&back);
        int64_t one = give(&there), other = give(&back), wait = one < other ? one : other;
        struct timespec most = {wait / SECOND, wait % SECOND};
        struct pollfd ends[] = {{near, POLLIN, 0}, {far, POLLIN, 0}};
        ppoll(ends, 2, &most, NULL);
    }
}
