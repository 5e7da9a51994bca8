/** Files of audio as small as can be, for tests. */

/** A WAV of 16 bits at 22,050 Hz, one channel, with so many bytes of samples. */
export function wav(dataBytes: number): Buffer {
  const file = Buffer.alloc(44 + dataBytes, 7);
  file.write('RIFF', 0);
  file.writeUInt32LE(36 + dataBytes, 4);
  file.write('WAVEfmt ', 8);
  file.writeUInt32LE(16, 16);
  file.writeUInt16LE(1, 20);
  file.writeUInt16LE(1, 22);
  file.writeUInt32LE(22_050, 24);
  file.writeUInt32LE(44_100, 28);
  file.writeUInt16LE(2, 32);
  file.writeUInt16LE(16, 34);
  file.write('data', 36);
  file.writeUInt32LE(dataBytes, 40);
  return file;
}

/** An MP3 of so many frames: MPEG 1, layer III, 128 kbit/s, 44.1 kHz; 417 bytes each. */
export function mp3(frames: number): Buffer {
  const frame = Buffer.alloc(417);
  frame.writeUInt32BE(0xff_fb_90_c4);
  return Buffer.concat(Array.from({ length: frames }, () => frame));
}
