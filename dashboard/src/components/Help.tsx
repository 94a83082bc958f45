import { useCallback, useRef } from 'react';
import { t } from '../texts';
import { useCommand, useTopic, useUi } from './hooks';

export function HelpDialog() {
  const ui = useUi();
  useTopic(ui.changed);
  const dialog = useRef<HTMLDialogElement>(null);
  useCommand('help', useCallback(() => dialog.current?.showModal(), []));
  return (
    <dialog
      ref={dialog} className="dialog" aria-labelledby="help-title"
      onClick={(event) => {
        if (event.target === dialog.current) dialog.current?.close();
      }}
    >
      <div className="dialog-body">
        <h2 id="help-title">{t.help.title}</h2>
        <dl className="keys">
          {t.help.keys.map(([keys, what]) => (
            <div key={keys}>
              <dt>{keys.split(' ').map((key) => <kbd key={key}>{key}</kbd>)}</dt>
              <dd>{what}</dd>
            </div>
          ))}
        </dl>
        <label className="switch">
          <input type="checkbox" checked={ui.hasShortcuts} onChange={(event) => ui.setShortcuts(event.target.checked)} />
          <span>{t.help.enabled}</span>
        </label>
        <button type="button" className="button primary wide" onClick={() => dialog.current?.close()}>{t.help.close}</button>
      </div>
    </dialog>
  );
}
