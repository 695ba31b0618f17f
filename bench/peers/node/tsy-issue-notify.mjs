// TSY says that a flight's tickets were issued, or were not.

import { filledText, intake } from './partner.mjs';

export const handler = intake({
  partner: 'tsy',
  kind: 'issue-notify',
  tokenHashes: process.env.TSY_TOKEN_HASHES,
  acknowledgement: '{"msg":"success","code":"0"}',
  refusal: (status, msg) => ({ msg, code: String(status) }),
  orderId: (payload) => {
    for (const field of ['orderNo', 'type']) filledText(payload, field);
    return filledText(payload, 'orderId');
  },
});
