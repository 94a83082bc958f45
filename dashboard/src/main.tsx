import { createRoot } from 'react-dom/client';
import { App } from './components/App';
import './styles/base.css';
import './styles/shell.css';
import './styles/live.css';
import './styles/pages.css';

const root = document.getElementById('root');
if (root) createRoot(root).render(<App />);
