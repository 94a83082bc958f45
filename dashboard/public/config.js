// Settings at run time; nginx/render writes its own over this one. An empty value means: as built,
// else the origin of this page. See README.md, "The dashboard".
window.DEALFLOW_CONFIG = {
  VITE_REALTIME_SCRAPER_URL: '',
  VITE_REALTIME_SCRAPER_WS: '',
  VITE_SUPABASE_URL: '',
  VITE_SUPABASE_PUBLISHABLE_KEY: '',
};
