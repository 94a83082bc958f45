// Two short notes. Browsers allow sound after the first click or key only.
let context: AudioContext | undefined;
let lastMs = 0;

export function unlockSound(): void {
  try {
    context ??= new AudioContext();
    if (context.state === 'suspended') void context.resume();
  } catch {
    // no sound on this device
  }
}

export function beep(): void {
  const now = Date.now();
  if (!context || context.state !== 'running' || now - lastMs < 400) return;
  lastMs = now;
  [880, 1318.5].forEach((frequency, i) => {
    const at = context!.currentTime + i * 0.12;
    const tone = context!.createOscillator();
    const volume = context!.createGain();
    tone.type = 'sine';
    tone.frequency.value = frequency;
    volume.gain.setValueAtTime(0.0001, at);
    volume.gain.exponentialRampToValueAtTime(0.12, at + 0.015);
    volume.gain.exponentialRampToValueAtTime(0.0001, at + 0.28);
    tone.connect(volume).connect(context!.destination);
    tone.start(at);
    tone.stop(at + 0.3);
  });
}
