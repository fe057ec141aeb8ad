// Answers, on standard output, each request that is a line of standard input: JSON, with bytes in hex. What it does is done by the cryptography of Node.js, which is
// OpenSSL, and by noble-post-quantum. Randomness is given to the latter, which does not find any in older versions of Node.js.
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto';
import { createInterface } from 'node:readline';
import { ml_dsa44, ml_dsa65, ml_dsa87 } from '@noble/post-quantum/ml-dsa.js';
import { ml_kem512, ml_kem768, ml_kem1024 } from '@noble/post-quantum/ml-kem.js';

const schemes = {
	ML_DSA_44: ml_dsa44, ML_DSA_65: ml_dsa65, ML_DSA_87: ml_dsa87, ML_KEM_512: ml_kem512, ML_KEM_768: ml_kem768, ML_KEM_1024: ml_kem1024,
};

// The messages of a symmetric key, as docs/format.md has them.

const keyID = (id) => Buffer.from(id.replaceAll('-', ''), 'hex');

const hkdf = (material, salt, info, length) => Buffer.from(hkdfSync('sha256', material, salt, info, length));

function associatedData(header, context) {
	const names = Object.keys(context ?? {}).map((name) => Buffer.from(name)).sort(Buffer.compare);
	if (names.length === 0) return header;
	const number = (n) => Buffer.from([n >> 8, n & 255]);
	const parts = [header, number(names.length)];
	for (const name of names) {
		const value = Buffer.from(context[name]);
		parts.push(number(name.length), name, number(value.length), value);
	}
	return Buffer.concat(parts);
}

function derive(material, prefix, salt) {
	const both = hkdf(material, salt, Buffer.concat([Buffer.from('claviger/message/v1'), prefix]), 64);
	return [both.subarray(0, 32), both.subarray(32)];
}

function sealMessage(material, id, plaintext, context) {
	const materialID = hkdf(material, '', Buffer.concat([Buffer.from('claviger/material-id/v1'), Buffer.from([0]), keyID(id)]), 32);
	const prefix = Buffer.concat([Buffer.from([1, 1, 0]), keyID(id), materialID.subarray(0, 16)]);
	const salt = randomBytes(16);
	const [key, commitment] = derive(material, prefix, salt);
	const header = Buffer.concat([prefix, salt, commitment]);
	const nonce = randomBytes(12);
	const cipher = createCipheriv('aes-256-gcm', key, nonce);
	cipher.setAAD(associatedData(header, context));
	return Buffer.concat([header, nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

function openMessage(material, id, message, context) {
	const prefix = message.subarray(0, 35);
	if (prefix.compare(Buffer.concat([Buffer.from([1, 1, 0]), keyID(id)]), 0, 19, 0, 19) !== 0) throw new Error('another key');
	const [key, commitment] = derive(material, prefix, message.subarray(35, 51));
	if (!timingSafeEqual(commitment, message.subarray(51, 83))) throw new Error('another commitment');
	const cipher = createDecipheriv('aes-256-gcm', key, message.subarray(83, 95));
	cipher.setAAD(associatedData(message.subarray(0, 83), context));
	cipher.setAuthTag(message.subarray(message.length - 16));
	return Buffer.concat([cipher.update(message.subarray(95, message.length - 16)), cipher.final()]);
}

// Private keys of the two schemes below are seeds.

const operations = {
	seal: (q) => ({ ciphertext: sealMessage(q.material, q.id, q.plaintext, q.context) }),
	open: (q) => ({ plaintext: openMessage(q.material, q.id, q.ciphertext, q.context) }),
	sign: (q) => ({ signature: schemes[q.spec].sign(q.message, schemes[q.spec].keygen(q.private).secretKey, { extraEntropy: randomBytes(32) }) }),
	verify: (q) => ({ valid: schemes[q.spec].verify(q.signature, q.message, q.public) }),
	signMu: (q) => ({
		signature: schemes[q.spec].internal.sign(q.message, schemes[q.spec].keygen(q.private).secretKey, { extraEntropy: randomBytes(32), externalMu: true }),
	}),
	verifyMu: (q) => ({ valid: schemes[q.spec].internal.verify(q.signature, q.message, q.public, { externalMu: true }) }),
	encapsulate: (q) => {
		const { sharedSecret, cipherText } = schemes[q.spec].encapsulate(q.public, randomBytes(32));
		return { secret: sharedSecret, ciphertext: cipherText };
	},
	decapsulate: (q) => ({ secret: schemes[q.spec].decapsulate(q.ciphertext, schemes[q.spec].keygen(q.private).secretKey) }),
};

const bytes = ['material', 'plaintext', 'ciphertext', 'private', 'public', 'message', 'signature'];

for await (const line of createInterface({ input: process.stdin })) {
	let answer;
	try {
		const request = JSON.parse(line);
		for (const name of bytes) request[name] = Buffer.from(request[name] ?? '', 'hex');
		answer = operations[request.do](request);
		for (const [name, value] of Object.entries(answer)) {
			if (value instanceof Uint8Array) answer[name] = Buffer.from(value).toString('hex');
		}
	} catch (error) {
		answer = { error: String(error) };
	}
	console.log(JSON.stringify(answer));
}
