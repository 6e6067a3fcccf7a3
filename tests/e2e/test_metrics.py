"""/metrics, /healthz and /readyz of both roles, as Prometheus and a kubelet ask for them, and as others should not."""

import concurrent.futures
import contextlib
import http.client
import os
import re
import shutil
import socket
import ssl
import time

import pytest

from cluster.certs import Authority
from home import DEPLOY, NAMESPACE, binary_is_sanitized, one_answer
from lab import l2lb, proc, wire
from lab.kube import path, wait

PORT, HEALTH = 9120, 17472
LINE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)')
LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)')


def tls(version=None, authority=None):
    context = ssl.create_default_context(cafile=authority)
    if not authority:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if version:
        context.maximum_version = version
    return context


def ask(ns, host, port, target="/metrics", method="GET", context=None, headers=None, timeout=20):
    """(status, text, headers) of one request from a namespace; HTTPS with a context."""
    connection = (http.client.HTTPSConnection(host, port, timeout=timeout, context=context) if context
                  else http.client.HTTPConnection(host, port, timeout=timeout))
    with contextlib.closing(connection), proc.inside(ns):
        connection.request(method, target, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.read().decode(), response.headers


def parse(text):
    """{(name, ((label, value), ...)): number}, of a text in which every line is as it must be."""
    series, types, last = {}, {}, ""
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name not in types and name > last, line
            types[name] = kind
            last = name
        elif not line.startswith("# HELP "):
            name, labels, number = LINE.fullmatch(line).groups()
            assert name == last, line
            found = tuple(LABEL.findall(labels or ""))
            assert len(LABEL.sub("", labels or "")) == 0, line
            assert (name, found) not in series, line
            series[name, found] = float(number)
    assert text.endswith("\n")
    return series, types


def scrape(home, member, port=PORT, **options):
    status, text, headers = ask(home.client, home.lab.ip(member), port, context=tls(), **options)
    assert status == 200 and headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return parse(text)


def value(series, name, **labels):
    return series.get((name, tuple(sorted(labels.items()))))


def test_a_scrape_of_both_roles(home):
    ip, owner = home.announced("web")
    other = next(node for node in home.nodes if node != owner)
    series, types = scrape(home, "ctl")
    for name, kind in (("metallb_k8s_client_updates_total", "counter"), ("metallb_k8s_client_update_errors_total", "counter"),
                       ("metallb_k8s_client_config_loaded_bool", "gauge"), ("metallb_k8s_client_config_stale_bool", "gauge"),
                       ("process_resident_memory_bytes", "gauge"), ("process_cpu_seconds_total", "counter"),
                       ("process_start_time_seconds", "gauge")):
        assert types[name] == kind and value(series, name) is not None, name
    assert value(series, "metallb_k8s_client_config_loaded_bool") == 1
    assert value(series, "metallb_k8s_client_config_stale_bool") == 0
    updates = value(series, "metallb_k8s_client_updates_total")
    assert updates >= 1
    assert 1e6 < value(series, "process_resident_memory_bytes") < 1e9
    assert time.time() - 7200 < value(series, "process_start_time_seconds") <= time.time()
    assert [labels for name, labels in series if name == "l2lb_build_info"][0][0][0] == "version"
    assert not any(name.startswith(("metallb_speaker_", "metallb_layer2_")) for name, _ in series)
    wait(lambda: (value(scrape(home, owner)[0], "metallb_layer2_gratuitous_sent", ip=ip) or 0) >= 2, 10, "two announcements")
    before, types = scrape(home, owner)
    announced = {"service": "default/web", "protocol": "layer2", "node": owner, "ip": ip}
    assert value(before, "metallb_speaker_announced", **announced) == 1 and types["metallb_speaker_announced"] == "gauge"
    assert not any(name == "metallb_speaker_announced" for name, _ in scrape(home, other)[0])
    seen = wire.ask(home.client, ip, 7, timeout=2)
    assert all(seen)
    after, types = scrape(home, owner)
    for name in ("metallb_layer2_requests_received", "metallb_layer2_responses_sent"):
        assert types[name] == "counter"
        assert value(after, name, ip=ip) - (value(before, name, ip=ip) or 0) == 7, name
    home.delete("web")
    home.silent(ip)
    wait(lambda: not any(name == "metallb_speaker_announced" for name, _ in scrape(home, owner)[0]), 20, "the series to go")
    assert value(scrape(home, owner)[0], "metallb_layer2_responses_sent", ip=ip) >= 7, "a counter does not go back"
    assert value(scrape(home, "ctl")[0], "metallb_k8s_client_updates_total") > updates


def test_what_is_served(home):
    ctl = home.lab.ip("ctl")
    status, text, _ = ask(home.client, ctl, PORT, method="HEAD", context=tls())
    assert (status, text) == (200, "")
    assert ask(home.client, ctl, PORT, "/metrics?x=1", context=tls())[0] == 200
    assert ask(home.client, ctl, PORT, "/", context=tls())[0] == 404
    assert ask(home.client, ctl, PORT, "/../etc/passwd", context=tls())[0] == 404
    status, _, headers = ask(home.client, ctl, PORT, method="POST", context=tls(), headers={"Content-Length": "100000000"})
    assert status == 405 and headers["Allow"] == "GET, HEAD"
    assert ask(home.client, ctl, PORT, headers={"Content-Length": "5"}, context=tls())[0] == 413
    assert ask(home.client, ctl, PORT, headers={"X": "x" * 100000}, context=tls())[0] in (413, 431)
    with pytest.raises(ssl.SSLError):
        ask(home.client, ctl, PORT, context=tls(ssl.TLSVersion.TLSv1_2))
    home.start_controller("second", ["--port=9121", "--health-probe-port=0", "--tls-min-version=VersionTLS12"])
    wait(lambda: scrape(home, "ctl", 9121), 20, "the second controller's /metrics")
    assert ask(home.client, ctl, 9121, context=tls(ssl.TLSVersion.TLSv1_2))[0] == 200


def test_health(home):
    ctl, node = home.lab.ip("ctl"), home.nodes[1]
    assert ask(home.client, ctl, HEALTH, "/healthz")[:2] == (200, "ok\n")
    assert ask(home.client, ctl, HEALTH, "/readyz")[:2] == (200, "ok\n")
    assert ask(home.client, ctl, HEALTH, "/metrics")[0] == 404
    # A speaker's probes come from its own node; nobody else is served.
    for target in ("/healthz", "/readyz"):
        assert ask(home.lab.ns(node), "127.0.0.1", HEALTH, target)[:2] == (200, "ok\n")
    with pytest.raises(ConnectionRefusedError):
        ask(home.client, home.lab.ip(node), HEALTH, "/healthz")


def test_ready_once_the_cluster_is_known(home):
    ctl = home.lab.ip("ctl")
    home.cluster.pause()
    try:
        second = home.start_controller("second", ["--port=0", "--health-probe-port=17473"])
        second.wait_log(event="serving")
        assert ask(home.client, ctl, 17473, "/healthz")[:2] == (200, "ok\n")
        assert ask(home.client, ctl, 17473, "/readyz")[:2] == (503, "not ready: the API server has not answered\n")
        # Who knew the cluster before goes on.
        assert ask(home.client, ctl, HEALTH, "/readyz")[0] == 200
    finally:
        home.cluster.resume()
    wait(lambda: ask(home.client, ctl, 17473, "/readyz")[0] == 200, 40, "/readyz")
    with pytest.raises(ConnectionRefusedError):
        ask(home.client, ctl, 9121, context=tls())


def _connect(ns, host, port):
    with proc.inside(ns):
        return socket.create_connection((host, port), 5)


def _cpu_seconds(running):
    with open(f"/proc/{running.process.pid}/stat") as stat:
        return sum(map(int, stat.read().rpartition(")")[2].split()[11:13])) / os.sysconf("SC_CLK_TCK")


def _is_closed(sock):
    sock.setblocking(False)
    try:
        while True:
            if not sock.recv(65536):
                return True
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_bad_clients(home):
    """Some hundred connections that do nothing, too little, too slowly or nonsense: answers on the wire, scrapes and
    probes go on, and none of them stays."""
    ip, owner = home.announced("web")
    host, running = home.lab.ip(owner), home.speakers[owner]
    descriptors = len(os.listdir(f"/proc/{running.process.pid}/fd"))
    asker = home.asker(ip)
    loris = [_connect(home.client, host, PORT) for _ in range(40)]
    local = home.lab.ns(owner)
    loris += [_connect(local, "127.0.0.1", HEALTH) for _ in range(40)]
    silent = _connect(local, "127.0.0.1", HEALTH)
    never_reads = _connect(local, "127.0.0.1", HEALTH)
    never_reads.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n" * 200)
    started, slowest, cpu = time.monotonic(), 0, _cpu_seconds(running)
    while time.monotonic() - started < 12:
        for number, sock in enumerate(loris):
            with contextlib.suppress(OSError):
                sock.send(b"\x16" if number < 40 else b"G")   # a byte of a ClientHello, of a request
        nonsense = (b"\x00" * 3000, b"\x16\x03\x01\xff\xff" + b"A" * 300, b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 50, os.urandom(500))
        for garbage in nonsense if time.monotonic() - started < 4 else ():   # not to the end: what is open then stays for ten seconds
            for ns, at, port in ((home.client, host, PORT), (local, "127.0.0.1", HEALTH)):
                with contextlib.closing(_connect(ns, at, port)) as sock, contextlib.suppress(OSError):
                    sock.sendall(garbage)
        before = time.monotonic()
        series, _ = scrape(home, owner)
        assert ask(local, "127.0.0.1", HEALTH, "/healthz")[0] == 200
        slowest = max(slowest, time.monotonic() - before)
        assert any(name == "metallb_speaker_announced" for name, _ in series)
        time.sleep(0.3)
    one_answer(asker.stop()[ip])
    assert slowest < 5, "none of those that do nothing was waited for: they stay for ten seconds"
    assert binary_is_sanitized() or _cpu_seconds(running) - cpu < 4, "500 requests a second, TLS and no spinning"
    wait(lambda: all(_is_closed(sock) for sock in [*loris, silent, never_reads]), 15, "them to be closed: ten seconds are all one gets")
    for sock in [*loris, silent, never_reads]:
        sock.close()
    wait(lambda: len(os.listdir(f"/proc/{running.process.pid}/fd")) <= descriptors + 1, 30, "the descriptors to be closed")
    assert running.process.poll() is None and home.holder(ip) == owner


def _token(home, name):
    home.kube.save({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": NAMESPACE}})
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    return home.kube.create(path("ServiceAccount", NAMESPACE, name, "token"), request)["status"]["token"]


def _without_permission(home, tmp_path):
    """deploy/metrics-auth.yaml is not there: nobody reads, and the log says what is needed."""
    flags = ["--port=9121", "--health-probe-port=0", "--metrics-auth", "--kubeconfig", home.config_of("controller")]
    running = l2lb.start(home.lab, "ctl", ["run", "--role=controller", *flags], {"ASAN_OPTIONS": "detect_leaks=0"}, tmp_path / "log")
    running.wait_log(event="serving")
    answer = ask(home.client, home.lab.ip("ctl"), 9121, context=tls(), headers={"Authorization": "Bearer x"})
    assert answer[:2] == (503, "the API server could not be asked\n")
    line = running.wait_log(event="metricsAuthFailed")["msg"]
    assert "tokenreviews" in line and "deploy/metrics-auth.yaml" in line
    assert running.stop() == 0


def test_metrics_auth(home, tmp_path):
    ctl = home.lab.ip("ctl")
    _without_permission(home, tmp_path)
    home.kube.apply((DEPLOY / "metrics-auth.yaml").read_text())
    good, stranger = _token(home, "prometheus"), _token(home, "stranger")
    home.kube.save({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "prometheus"},
                    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "metallb-system:metrics-reader"},
                    "subjects": [{"kind": "ServiceAccount", "name": "prometheus", "namespace": NAMESPACE}]})
    second = home.start_controller("second", ["--port=9121", "--health-probe-port=0", "--metrics-auth"])
    second.wait_log(event="serving")

    def status(authorization=None):
        headers = {"Authorization": authorization} if authorization else {}
        return ask(home.client, ctl, 9121, context=tls(), headers=headers)[0]

    assert status() == 401
    assert ask(home.client, ctl, 9121, context=tls())[2]["WWW-Authenticate"] == "Bearer"
    for bad in ("Basic eDp5", "Bearer", "Bearer  ", "Bearer \xff", "Bearer a b"):
        assert status(bad) == 401, bad
    # The authorizer of a fresh binding may lag; a verdict is kept for a minute, so the good token comes when it is there.
    wait(lambda: home.kube.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", {
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {
            "user": f"system:serviceaccount:{NAMESPACE}:prometheus", "nonResourceAttributes": {"path": "/metrics", "verb": "get"}}})["status"]["allowed"],
         20, "the binding")
    assert status(f"Bearer {good}") == 200
    assert status(f"bearer {good}") == 200
    assert status(f"Bearer {stranger}") == 403
    assert status("Bearer nonsense") == 401
    assert status(f"Bearer {good[:-5]}AAAAA") == 401
    reviews = [event for event in home.cluster.audit(f"system:serviceaccount:{NAMESPACE}:controller")
               if event["requestURI"].startswith("/apis/authentication.k8s.io/v1/tokenreviews")]
    for _ in range(20):
        assert status(f"Bearer {good}") == 200
    again = [event for event in home.cluster.audit(f"system:serviceaccount:{NAMESPACE}:controller")
             if event["requestURI"].startswith("/apis/authentication.k8s.io/v1/tokenreviews")]
    assert len(again) == len(reviews), "a verdict is kept"
    # Five a second are looked at. Several ask at once, so that a slow machine has too many, too.
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda number: status(f"Bearer other-{number}"), range(60)))
    assert set(answers) <= {401, 429} and 429 in answers
    assert status(f"Bearer {good}") == 200, "strangers do not push out who is known"
    # Nobody to ask: refused, in bounded time, and the process ends well with a question open.
    time.sleep(1.1)
    home.cluster.pause()
    try:
        began = time.monotonic()
        assert ask(home.client, ctl, 9121, context=tls(), headers={"Authorization": "Bearer new"}, timeout=30)[0] == 503
        assert time.monotonic() - began < 15   # it gives up after 5 s
        assert status(f"Bearer {good}") == 200
        waiting = _connect(home.client, ctl, 9121)
        with tls().wrap_socket(waiting) as sock:
            sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer newer\r\n\r\n")
            time.sleep(0.3)
            assert home.stop(second) < 15
    finally:
        home.cluster.resume()


def test_the_port_is_taken(home):
    ctl = home.lab.ip("ctl")
    with proc.inside(home.lab.ns("ctl")):
        taken = socket.create_server(("0.0.0.0", 9121))
    with taken:
        second = home.start_controller("second", ["--port=9121", "--health-probe-port=17473"])
        line = second.wait_log(event="portFailed")
        assert line["flag"] == "--port" and line["port"] == "9121" and line["msg"].startswith("--port 9121: Address already in use")
        wait(lambda: ask(home.client, ctl, 17473, "/readyz")[0] == 200, 40, "/readyz")
        time.sleep(6)
        assert len([entry for entry in second.logs() if entry["event"] == "portFailed"]) == 1, "said once"
    wait(lambda: scrape(home, "ctl", 9121), 30, "/metrics once the port is free")
    assert second.wait_log(event="serving", flag="--port")


def test_certificate_files(home, tmp_path):
    folder, ctl = tmp_path / "certs", home.lab.ip("ctl")
    folder.mkdir(mode=0o755)
    authority = Authority(tmp_path / "ca")

    def install(pair):
        shutil.copy(pair[1], folder / "tls.key")
        shutil.copy(pair[0], folder / "tls.crt")
        for file in folder.iterdir():
            file.chmod(0o644)

    def serial():
        with tls(authority=authority.cert).wrap_socket(_connect(home.client, ctl, 9121), server_hostname=ctl) as sock:
            return sock.getpeercert()["serialNumber"]

    second = home.start_controller("second", ["--port=9121", "--health-probe-port=0", f"--metrics-cert-dir={folder}"])
    line = second.wait_log(event="certificateFailed")
    assert f"{folder}/tls.crt: No such file or directory" in line["msg"]
    install(authority.server("one", [f"IP:{ctl}"]))
    first = wait(serial, 30, "the first certificate")
    status, text, _ = ask(home.client, ctl, 9121, context=tls(authority=authority.cert))
    assert status == 200 and parse(text)
    lines = len(second.logs())
    (folder / "tls.crt").write_text("not a certificate\n")
    second.wait_log(event="certificateFailed", skip=lines)
    assert serial() == first
    install(authority.server("two", [f"IP:{ctl}"]))
    wait(lambda: serial() != first, 30, "the second certificate")
    assert ask(home.client, ctl, 9121, context=tls(authority=authority.cert))[0] == 200
