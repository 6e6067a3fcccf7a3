"""A DHCP client as a guest has it that checks an address before use (udhcpc -a).

get() runs in the test and starts the rest, `python -m lab.dhcp`, in a namespace.
It wants one address: DISCOVER, REQUEST, then, if told to, a probe (RFC 5227), and
DECLINE if somebody answers that. Its interface needs no address.
"""

import json
import os
import select
import socket
import struct
import subprocess
import sys
import time

from lab import proc, wire

_BROADCAST = "255.255.255.255"
_MAGIC = bytes([99, 130, 83, 99])
_TYPE, _WANTED, _SERVER, _END = 53, 50, 54, 255
DISCOVER, OFFER, REQUEST, DECLINE, ACK = 1, 2, 3, 4, 5


def get(ns, ip, probe=True, interface="eth0", timeout=10):
    """The times (of the system clock) of what came to pass: "offer", "ack", "probe",
    and "defended" with its "mac" if somebody answered the probe."""
    with proc.spawn([sys.executable, "-m", "lab.dhcp", interface, ip, str(timeout), str(int(probe))], ns,
                    env={**os.environ, "PYTHONPATH": str(wire._TESTS)}, stdout=subprocess.PIPE, text=True) as process:
        output, _ = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"lab.dhcp ended with {process.returncode}")
    return json.loads(output)


# In the namespace

class _Client:
    def __init__(self, interface, ip, timeout):
        self.ip, self.deadline = ip, time.time() + timeout
        # A unicast answer goes to an address that is not this machine's yet.
        self.received = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        self.received.bind((interface, 0x0800))
        self.arp = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.arp.bind((interface, 0x0806))
        self.mac = self.arp.getsockname()[4].hex(":")
        self.sending = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sending.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self.sending.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        self.sending.bind(("0.0.0.0", 68))

    def say(self, kind, *options):
        # Without the broadcast flag: then the server writes our MAC into its neighbour table.
        head = struct.pack("!BBBBIHH16x", 1, 1, 6, 0, 0x6c326c62, 0, 0) + bytes.fromhex(self.mac.replace(":", ""))
        body = head.ljust(236, b"\0") + _MAGIC + bytes([_TYPE, 1, kind])
        for code, value in ((_WANTED, self.ip), *options):
            body += bytes([code, 4]) + socket.inet_aton(value)
        self.sending.sendto(body + bytes([_END]), (_BROADCAST, 67))

    def heard(self, kind):
        """Waits for this answer: (time, server)."""
        while (left := self.deadline - time.time()) > 0:
            if not select.select([self.received], [], [], left)[0]:
                break
            packet = self.received.recv(2048)
            data = packet[(packet[0] & 15) * 4:]
            if packet[9] != 17 or data[:4] != struct.pack("!HH", 67, 68) or data[244:248] != _MAGIC:
                continue
            options = _options(data[248:])
            if options.get(_TYPE) == bytes([kind]) and socket.inet_ntoa(data[24:28]) == self.ip:
                return time.time(), socket.inet_ntoa(options[_SERVER])
        raise SystemExit(f"lab.dhcp: no answer of type {kind} for {self.ip}")

    def probe(self, patience=5):
        """(time sent, None or (time of the answer, MAC))"""
        self.arp.send(wire.arp_frame(wire.REQUEST, self.mac, "0.0.0.0", wire.NO_MAC, self.ip))
        sent = time.time()
        while (left := sent + patience - time.time()) > 0:
            if select.select([self.arp], [], [], left)[0]:
                frame = self.arp.recv(2048)
                if socket.inet_ntoa(frame[28:32]) == self.ip:
                    return sent, (time.time(), frame[22:28].hex(":"))
        return sent, None


def _options(data):
    found = {}
    while data and data[0] != _END:
        found[data[0]] = data[2:2 + data[1]]
        data = data[2 + data[1]:]
    return found


def _main(interface, ip, timeout, probe):
    client = _Client(interface, ip, float(timeout))
    story = {}
    client.say(DISCOVER)
    story["offer"], server = client.heard(OFFER)
    client.say(REQUEST, (_SERVER, server))
    story["ack"], _ = client.heard(ACK)
    if int(probe):
        story["probe"], answer = client.probe()
        if answer:
            story["defended"], story["mac"] = answer
            client.say(DECLINE, (_SERVER, server))
    return story


if __name__ == "__main__":
    print(json.dumps(_main(*sys.argv[1:])))
