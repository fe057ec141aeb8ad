"""Writes wraps.json: wraps made from the description in the package comment alone, with Python's cryptography 48.0.0 (OpenSSL) instead of Go.

Salts, nonces and plaintexts are SHAKE-256 of a label, so that a second run writes the same file.
"""
import hashlib, json, struct
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand


def fixed(label, n):
    return hashlib.shake_256(label.encode()).digest(n)


def wrap(name, passphrase, memory, time, threads, associated, n):
    salt, nonce, plaintext = fixed(name + " salt", 16), fixed(name + " nonce", 12), fixed(name + " plaintext", n)
    root = Argon2id(salt=salt, length=32, iterations=time, lanes=threads, memory_cost=memory).derive(passphrase)
    keys = HKDFExpand(hashes.SHA256(), 64, b"claviger/passphrase/v1").derive(root)
    header = b"\x01" + struct.pack(">IIB", memory, time, threads) + salt + keys[32:]
    sealed = AESGCM(keys[:32]).encrypt(nonce, plaintext, header + struct.pack(">I", len(associated)) + associated)
    return {"name": name, "passphrase": passphrase.hex(), "associatedData": associated.hex(), "plaintext": plaintext.hex(),
            "wrap": (header + nonce + sealed).hex()}


cases = [
    wrap("least parameters", b"correct horse battery staple", 7168, 1, 1, b"claviger/root/v1 ring domain passphrase", 32),
    wrap("default parameters", b"correct horse battery staple", 65536, 3, 4, b"claviger/root/v1 ring domain passphrase", 32),
    wrap("memory not divisible by the lanes", b"x", 7171, 2, 3, b"a", 32),
    wrap("no associated data", "Schl\u00fcssel \u9375".encode(), 8192, 1, 2, b"", 32),
    wrap("passphrase of every byte", bytes(range(256)), 7168, 2, 1, bytes(300), 1),
    wrap("long plaintext", b"line end counts\n", 7168, 1, 1, b"a", 1024),
]
with open("wraps.json", "w") as f:
    json.dump(cases, f, indent=1)
    f.write("\n")
