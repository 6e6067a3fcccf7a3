"""Certificates for the test cluster, made by the openssl command."""

import itertools
import subprocess
from pathlib import Path

# Elliptic curve keys: made in milliseconds, where RSA ones take a second.
_NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


def _openssl(*args):
    done = subprocess.run(["openssl", *map(str, args)], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {args[0]}: {done.stdout}")


def _subject(user, groups):
    # The slash separates the fields of a subject on openssl's command line.
    fields = [f"O={group}" for group in groups] + [f"CN={user}"]
    return "".join("/" + field.replace("/", "\\/") for field in fields)


def signing_key(path):
    """A key pair's private half, for service account tokens."""
    # ecparam writes "EC PRIVATE KEY", the one form in which kube-apiserver
    # finds the public key too; genpkey's "PRIVATE KEY" it refuses.
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path)
    return path


class Authority:
    """A certificate authority; its files are in a folder of its own."""

    def __init__(self, folder, name="l2lb-test-ca"):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.cert = self.folder / "ca.crt"
        self._key = self.folder / "ca.key"
        self._serial = itertools.count(1)
        _openssl("req", "-x509", *_NEW_KEY, "-days", 3650, "-subj", f"/CN={name}",
                 "-addext", "keyUsage=critical,keyCertSign,cRLSign",
                 "-keyout", self._key, "-out", self.cert)

    def server(self, name, sans, days=365, expired=False):
        """(certificate, key) of a server; sans like ["IP:127.0.0.1", "DNS:localhost"]."""
        extensions = f"extendedKeyUsage=serverAuth\nsubjectAltName={','.join(sans)}\n"
        return self._leaf(_subject(name, []), extensions, days, expired)

    def client(self, user, groups=(), days=365, expired=False):
        """(certificate, key) of a client; Kubernetes reads O as group and CN as user."""
        return self._leaf(_subject(user, groups), "extendedKeyUsage=clientAuth\n", days, expired)

    def _leaf(self, subject, extensions, days, expired):
        serial = next(self._serial)
        base = self.folder / f"leaf-{serial}"
        cert, key = base.with_suffix(".crt"), base.with_suffix(".key")
        request, options = base.with_suffix(".csr"), base.with_suffix(".ext")
        options.write_text("basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\n"
                           "authorityKeyIdentifier=keyid\n" + extensions)
        _openssl("req", *_NEW_KEY, "-subj", subject, "-keyout", key, "-out", request)
        if expired:
            self._sign_expired(base, request, options, cert)
        else:
            _openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self._key,
                     "-set_serial", serial, "-days", days, "-extfile", options, "-out", cert)
        return cert, key

    def _sign_expired(self, base, request, options, cert):
        # Only "openssl ca" takes dates in the past (before OpenSSL 3.4), and
        # it wants a database and a configuration for that.
        database = base.with_suffix(".db")
        database.touch()
        config = base.with_suffix(".cnf")
        config.write_text(f"[ca]\ndefault_ca=ca1\n[ca1]\ndatabase={database}\n"
                          f"new_certs_dir={self.folder}\nrand_serial=yes\ndefault_md=sha256\n"
                          "policy=any\n[any]\ncommonName=supplied\norganizationName=optional\n")
        _openssl("ca", "-batch", "-notext", "-config", config, "-in", request, "-out", cert,
                 "-cert", self.cert, "-keyfile", self._key, "-preserveDN", "-extfile", options,
                 "-startdate", "20200101000000Z", "-enddate", "20200102000000Z")
