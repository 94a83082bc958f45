// Before the first paint, so that a chosen theme does not flash: dark or light, else as the system has it.
try {
  var chosen = localStorage.getItem('dealflow.theme');
  if (chosen === 'dark' || chosen === 'light') document.documentElement.dataset.theme = chosen;
} catch (error) {
  // no storage: as the system has it
}
