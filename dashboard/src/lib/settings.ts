// Where the servers are. Run time (config.js) wins over build time (VITE_ variables); what neither
// names is below the origin that served this page.

export interface Settings {
  scraperUrl: string; // without a slash at the end
  scraperWs: string;
  supabaseUrl: string;
  publishableKey: string;
  signIn: 'token' | 'account'; // a token minted on the box, or Supabase's accounts
  isOwnOrigin: boolean; // the function is behind the same door as this page
}

export type Names =
  | 'VITE_REALTIME_SCRAPER_URL'
  | 'VITE_REALTIME_SCRAPER_WS'
  | 'VITE_SUPABASE_URL'
  | 'VITE_SUPABASE_PUBLISHABLE_KEY'
  | 'VITE_SIGN_IN';
export type Given = Partial<Record<Names, unknown>>;

// An address that may be relative to the page, without slashes at the end.
function address(value: string, page: string): string {
  return new URL(value, page).href.replace(/\/+$/, '');
}

const asHttp = (url: string) => url.replace(/^ws/, 'http');
const asWs = (url: string) => url.replace(/^http/, 'ws');

// page: the address of the document. Throws on an address that is none, naming the setting.
export function readSettings(runTime: Given | undefined, buildTime: Given, page: string): Settings {
  const text = (name: Names): string => {
    for (const given of [runTime?.[name], buildTime[name]]) {
      if (typeof given === 'string' && given.trim() !== '') return given.trim();
    }
    return '';
  };
  const url = (name: Names, otherwise: string): string => {
    const given = text(name) || otherwise;
    try {
      const made = address(given, page);
      if (/^(https?|wss?):\/\//.test(made)) return made;
    } catch {
      // said below
    }
    throw new Error(`${name} is no address: "${given}"`);
  };
  const { origin } = new URL(page);
  const supabaseUrl = asHttp(url('VITE_SUPABASE_URL', origin));
  const isOwnOrigin = new URL(supabaseUrl).origin === origin;
  // One of the scraper's two addresses tells the other.
  const scraperUrl = asHttp(url('VITE_REALTIME_SCRAPER_URL', text('VITE_REALTIME_SCRAPER_WS') || `${origin}/scraper`));
  const scraperWs = asWs(url('VITE_REALTIME_SCRAPER_WS', scraperUrl));
  const wanted = text('VITE_SIGN_IN');
  return {
    scraperUrl,
    scraperWs,
    supabaseUrl,
    publishableKey: text('VITE_SUPABASE_PUBLISHABLE_KEY'),
    signIn: wanted === 'token' || wanted === 'account' ? wanted : isOwnOrigin ? 'token' : 'account',
    isOwnOrigin,
  };
}
