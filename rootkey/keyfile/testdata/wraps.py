"""Writes wraps.json: keys and wraps made from the description in the package comment alone, with Python's cryptography 48.0.0 (OpenSSL) instead of Go.

Keys, salts, nonces and plaintexts are SHAKE-256 of a label, so that a second run writes the same file.
"""
import base64, hashlib, json
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def fixed(label, n):
    return hashlib.shake_256(label.encode()).digest(n)


def wrap(name, associated, n):
    key, salt = fixed(name + " key", 32), fixed(name + " salt", 16)
    nonce, plaintext = fixed(name + " nonce", 12), fixed(name + " plaintext", n)
    text = "claviger-root-1:" + base64.b64encode(key + hashlib.sha256(b"claviger-root-1:" + key).digest()[:4]).decode()
    derived = HKDF(hashes.SHA256(), 32, salt, b"claviger/keyfile/v1").derive(key)
    return {"name": name, "text": text, "associatedData": associated.hex(), "plaintext": plaintext.hex(),
            "wrap": (b"\x01" + salt + nonce + AESGCM(derived).encrypt(nonce, plaintext, associated)).hex()}


cases = [
    wrap("domain key", b"claviger/root/v1 ring domain keyfile", 32),
    wrap("no associated data", b"", 32),
    wrap("one byte", bytes(300), 1),
    wrap("long plaintext", b"a", 1024),
]
with open("wraps.json", "w") as f:
    json.dump(cases, f, indent=1)
    f.write("\n")
