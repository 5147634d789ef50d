"""Goal: cold stores work with S3 services that are not ours, and with directories, and say what is wrong when it is.
Method: the driver's probe and round trip against moto and nanio; the latter checks signatures."""

import json
import os
import socket
import ssl
import subprocess
import unittest

import s3_services
from cairn_harness import CairnTest, program

MAKE_CERTIFICATE = """
import datetime, ipaddress, sys
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
key = ec.generate_private_key(ec.SECP256R1())
name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "cairn test")])
now = datetime.datetime.now(datetime.timezone.utc)
address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
certificate = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
               .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
               .not_valid_after(now + datetime.timedelta(days=1)).add_extension(address, critical=False)
               .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
               .sign(key, hashes.SHA256()))
open("cert.pem", "wb").write(certificate.public_bytes(serialization.Encoding.PEM))
open("key.pem", "wb").write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                              serialization.NoEncryption()))
"""


class TlsMoto(s3_services.Moto):
    """Moto behind a certificate that only its own file vouches for."""

    def __init__(self, directory):
        super().__init__(directory)
        self.scheme = "https"
        subprocess.run([s3_services.PYTHON, "-c", MAKE_CERTIFICATE], cwd=directory, check=True)
        self.ca_file = os.path.join(directory, "cert.pem")

    def _command(self):
        return [*super()._command(), "-c", "cert.pem", "-k", "key.pem"]

    def _answers(self):
        # Whether the port listens: the start needs no look at certificates.
        if self._process.poll() is not None:
            raise AssertionError(f"moto ended: {self.log()}")
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        except OSError:
            return False
        return True

    def _context(self):
        return ssl.create_default_context(cafile=self.ca_file)


class TierStores(CairnTest):
    def setUp(self):
        super().setUp()
        if reason := s3_services.missing():
            self.fail(reason)

    def serve(self, service):
        self.addCleanup(service.stop)
        return service.start()

    def drive(self, command, location, options=(), service=None, secret=None):
        """What the driver printed."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        if service:
            options = [f"endpoint={service.url}", *options]
            environment |= {"AWS_ACCESS_KEY_ID": service.key_id, "AWS_SECRET_ACCESS_KEY": secret or service.secret}
        environment["NO_PROXY"] = environment["no_proxy"] = "127.0.0.1"
        done = subprocess.run(
            [program("cold_store_driver"), command, location, *options],
            env=environment, capture_output=True, text=True, timeout=280,
        )
        self.assertIn(done.returncode, (0, 1), done.stderr)
        self.assertNotIn(environment.get("AWS_SECRET_ACCESS_KEY", "no secret"), done.stdout + done.stderr)
        return json.loads(done.stdout)

    def works(self, location, service=None, options=()):
        for command in ("probe", "roundtrip"):
            answer = self.drive(command, location, options, service)
            self.assertTrue(answer["ok"], f"{answer} {service.log() if service else ''}")

    def refused(self, code, *arguments, **more):
        step = self.drive(*arguments, **more)["steps"][0]
        self.assertEqual(step["code"], code, step)
        return step["message"]

    def says_what_is_wrong(self, service):
        """Of what is not there."""
        location = f"s3://{s3_services.BUCKET}"
        self.refused("FAILED_PRECONDITION", "probe", "s3://no-such-bucket", service=service)
        self.refused("NOT_FOUND", "stat", location, service=service)
        self.refused("FAILED_PRECONDITION", "stat", "s3://no-such-bucket", service=service)

    def test_nanio_takes_what_the_tier_sends(self):
        service = self.serve(s3_services.Nanio(self.dir))
        self.works(f"s3://{s3_services.BUCKET}/some/prefix", service)
        self.says_what_is_wrong(service)

    def test_a_wrong_secret_is_refused_and_told(self):
        service = self.serve(s3_services.Nanio(self.dir))
        location = f"s3://{s3_services.BUCKET}"
        secret = "wrong-secret-of-some-length"
        self.assertIn("secret key", self.refused("PERMISSION_DENIED", "probe", location, service=service, secret=secret))

    def test_moto_takes_what_the_tier_sends(self):
        service = self.serve(s3_services.Moto(self.dir))
        self.works(f"s3://{s3_services.BUCKET}/some/prefix", service)
        self.says_what_is_wrong(service)

    def test_a_private_certificate_is_trusted_by_its_file_only(self):
        service = self.serve(TlsMoto(self.dir))
        location = f"s3://{s3_services.BUCKET}"
        self.works(location, service, [f"ca-file={service.ca_file}"])
        message = self.refused("FAILED_PRECONDITION", "stat", location, service=service)
        self.assertIn("not trusted", message)

    def test_a_directory_works_once_it_is_prepared(self):
        directory = os.path.join(self.dir, "cold")
        self.refused("NOT_FOUND", "prepare", f"dir://{directory}")
        os.mkdir(directory)
        self.assertIn("is it mounted?", self.refused("FAILED_PRECONDITION", "probe", f"dir://{directory}"))
        self.assertTrue(self.drive("prepare", f"dir://{directory}")["ok"])
        self.works(f"dir://{directory}")
        self.assertEqual(sorted(os.listdir(directory)), [".cairn-tier", ".cairn-tmp"])

    def test_a_service_that_is_away_is_unavailable(self):
        service = s3_services.Nanio(self.dir)  # never started
        self.assertIn("cannot connect", self.refused("UNAVAILABLE", "stat", "s3://bucket", service=service))


if __name__ == "__main__":
    unittest.main()
