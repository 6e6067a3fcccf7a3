"""Certificates by the openssl command, and kubeconfig files that carry them inline."""
import base64
import ipaddress
import subprocess


class Certificates:
    """A CA and what it signed, kept in one folder and made only when missing."""

    def __init__(self, folder, host):
        self.folder = folder
        # an own empty configuration: the distribution's would add extensions of its choice
        self.config = folder / "openssl.cnf"
        if not self.config.exists():
            self.config.write_text("[req]\ndistinguished_name = names\n[names]\n")
        if not (folder / "ca.crt").exists():
            self.make("ca", "/CN=kubernetes", ["basicConstraints=critical,CA:TRUE",
                                               "keyUsage=critical,digitalSignature,keyCertSign,cRLSign",
                                               "subjectKeyIdentifier=hash"], signer=None)
        if not self.covers(host):
            self.make("server", "/CN=kube-apiserver", ["basicConstraints=critical,CA:FALSE",
                                                       "extendedKeyUsage=serverAuth",
                                                       "subjectAltName=" + alternative_names(host)])
            (folder / "server.host").write_text(host)

    def path(self, name):
        return str(self.folder / name)

    def covers(self, host):
        """A folder used again with another listen address needs a new server certificate, not a new CA."""
        note = self.folder / "server.host"
        return (self.folder / "server.crt").exists() and note.exists() and note.read_text() == host

    def make(self, name, subject, extensions, signer="ca"):
        command = ["openssl", "req", "-x509", "-config", str(self.config), "-newkey", "ec", "-pkeyopt",
                   "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650", "-subj", subject, "-utf8",
                   "-keyout", self.path(name + ".key"), "-out", self.path(name + ".crt")]
        if signer:
            command += ["-CA", self.path(signer + ".crt"), "-CAkey", self.path(signer + ".key")]
        for extension in extensions:
            command += ["-addext", extension]
        subprocess.run(command, check=True, capture_output=True)

    def client(self, name, groups):
        """(certificate, key) of a user, as PEM bytes."""
        stem = name.replace(":", "_").replace("/", "_")
        if not (self.folder / (stem + ".crt")).exists():
            subject = "".join("/O=" + group.replace("/", "\\/") for group in groups) + "/CN=" + name.replace("/", "\\/")
            self.make(stem, subject, ["basicConstraints=critical,CA:FALSE", "extendedKeyUsage=clientAuth"])
        return (self.folder / (stem + ".crt")).read_bytes(), (self.folder / (stem + ".key")).read_bytes()


def alternative_names(host):
    names = ["DNS:localhost", "DNS:kubernetes", "DNS:kubernetes.default", "DNS:kubernetes.default.svc"]
    for entry in dict.fromkeys((host, "127.0.0.1", "10.96.0.1")):
        try:
            names.append(f"IP:{ipaddress.ip_address(entry)}")
        except ValueError:
            names.append(f"DNS:{entry}")
    return ",".join(names)


def write_kubeconfig(path, url, name, groups, certificates):
    lines = ["apiVersion: v1", "kind: Config", "current-context: standin", "clusters:", "- name: standin",
             "  cluster:", f"    server: {url}"]
    if certificates:
        lines.append("    certificate-authority-data: " + inline((certificates.folder / "ca.crt").read_bytes()))
    lines += ["contexts:", "- name: standin", "  context:", "    cluster: standin", f"    user: {name}", "users:",
              f"- name: {name}"]
    if certificates:
        certificate, key = certificates.client(name, groups)
        lines += ["  user:", "    client-certificate-data: " + inline(certificate),
                  "    client-key-data: " + inline(key)]
    else:
        lines.append("  user: {}")
    path.touch(mode=0o600)
    path.write_text("\n".join(lines) + "\n")


def inline(pem):
    return base64.b64encode(pem).decode()
