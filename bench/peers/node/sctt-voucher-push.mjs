// SCTT says how an order stands, and its vouchers once it is booked.

import { filledText, intake, Refused } from './partner.mjs';

export const handler = intake({
  partner: 'sctt',
  kind: 'voucher-push',
  tokenHashes: process.env.SCTT_TOKEN_HASHES,
  acknowledgement: '{"code":0,"msg":"ok","data":null}',
  refusal: (code, msg) => ({ code, msg, data: null }),
  orderId: (payload) => {
    if (!/^-?\d+$/.test(filledText(payload, 'order_status'))) {
      throw new Refused(400, 'field order_status must be a whole number');
    }
    for (const field of ['trade_number', 'order_code']) {
      if ((payload[field] ?? '') !== '') return filledText(payload, field);
    }
    throw new Refused(400, 'field trade_number is missing, and so is order_code: send one of them');
  },
});
