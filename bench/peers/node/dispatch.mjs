// Decides what a notification leads to, and enqueues the call.

import { GetItemCommand } from '@aws-sdk/client-dynamodb';
import { SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs';
import { batchHandler } from './batch.mjs';
import { digest, dynamodb, once } from './relay.mjs';

const { ORDERS_TABLE, SHIP_NOTIFY_QUEUE_URL, ITINERARY_POSTBACK_QUEUE_URL } = process.env;
const BOOKED = '2';
const ISSUED = '2';
// Bar code, QR code, confirmation number: the vouchers that have codes.
const WITH_CODES = ['2', '3', '4'];

const sqs = new SQSClient({});

export const handler = batchHandler(async ({ body }) => {
  const notification = JSON.parse(body);
  const { partner, order_id, payload } = notification;
  await dispatch(notification, `${partner}#${order_id}/${digest(payload)}`);
});

const dispatch = once(async (notification, _key) => {
  const call = decide(notification, await linkOf(`${notification.partner}#${notification.order_id}`));
  if (call === undefined) return null;
  const command = new SendMessageCommand({ QueueUrl: call.queueUrl, MessageBody: JSON.stringify(call.request) });
  return (await sqs.send(command)).MessageId;
});

const linkOf = async (order) => {
  const command = new GetItemCommand({ TableName: ORDERS_TABLE, Key: { order: { S: order } }, ConsistentRead: true });
  const { Item } = await dynamodb.send(command);
  return Item ? JSON.parse(Item.link.S) : {};
};

// The queue and the request of the call that the notification leads to, if it leads to one.
const decide = ({ partner, order_id, payload }, link) => {
  if (partner === 'sctt') {
    const request =
      link.fliggy_ship && String(payload.order_status) === BOOKED ? shipNotify(payload, link.fliggy_ship) : undefined;
    return request && { queueUrl: SHIP_NOTIFY_QUEUE_URL, request };
  }
  const flight = link.happytrip_flight;
  if (flight?.ticket_no_list?.length && payload.type === 'issued') {
    return { queueUrl: ITINERARY_POSTBACK_QUEUE_URL, request: { out_relation_order_id: order_id, ...flight } };
  }
  return undefined;
};

const shipNotify = (push, ship) => {
  const vouchers = (push.vouchers ?? []).flatMap((group) => group.voucherlist ?? []);
  const codes = vouchers.filter(hasCodes);
  const tickets = ship.passenger_list.flatMap((passenger) => passenger.ticket_list ?? []);
  if (codes.length === 0 || codes.length !== tickets.length) return undefined;
  for (const [index, ticket] of tickets.entries()) {
    const { voucher_confirmation, voucher_verification } = codes[index];
    ticket.ticket_status = ISSUED;
    if (voucher_confirmation) ticket.e_ticket_no = String(voucher_confirmation);
    if (voucher_verification) ticket.ticket_pwd = String(voucher_verification);
  }
  // What is undefined is left out of the JSON.
  return {
    agent_order_id: ship.agent_order_id,
    alitrip_order_id: ship.alitrip_order_id,
    main_biz_order_id: ship.main_biz_order_id,
    total_price: ship.total_price,
    order_attr: orderAttr(push, vouchers),
    passenger_list: ship.passenger_list,
    success: true,
    ticket_count: tickets.length,
  };
};

const hasCodes = ({ voucher_type, voucher_confirmation, voucher_verification }) =>
  Boolean(voucher_confirmation || voucher_verification) && WITH_CODES.includes(String(voucher_type));

// The addresses that TOP has no field of its own for.
const orderAttr = (push, vouchers) => {
  const addresses = {
    travel_itinerary_url: push.travel_itinerary_url,
    confirmation_url: filled((push.vouchers ?? []).map((group) => group.confirmation_url)),
    voucher_url: filled(vouchers.map((voucher) => voucher.voucher_url)),
  };
  const known = Object.entries(addresses).filter(([, value]) => value);
  return known.length > 0 ? JSON.stringify(Object.fromEntries(known)) : undefined;
};

const filled = (addresses) => {
  const known = addresses.filter(Boolean);
  return known.length > 0 ? known : undefined;
};
