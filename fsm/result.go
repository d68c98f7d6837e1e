package fsm

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-kv/holdfast/catalog"
	"github.com/holdfast-kv/holdfast/fsm/fsmpb"
	"github.com/holdfast-kv/holdfast/kvs"
)

// EncodeResult returns the bytes of a result, for the server that the command was
// proposed through. Who made the versions that are shown is left out.
func EncodeResult(r *Result) ([]byte, error) {
	msg := &fsmpb.Result{
		Index: r.Index, Applied: r.Applied, Invalid: []byte(r.Invalid), Key: []byte(r.Key), Fence: r.Fence, Ended: uint64(r.Ended),
		Refusal: uint32(r.Refusal), Denied: []byte(r.Denied),
	}
	for i := range r.Shown {
		msg.Shown = append(msg.Shown, shownToProto(&r.Shown[i]))
	}
	for _, m := range r.Mixed {
		msg.Mixed = append(msg.Mixed, mixedShownToProto(&m))
	}
	for _, e := range r.Errors {
		msg.Errors = append(msg.Errors, &fsmpb.Result_Error{OpIndex: uint32(e.OpIndex), What: []byte(e.What)})
	}
	if f := r.Fenced; f != nil {
		msg.Fenced = &fsmpb.Result_Fenced{Key: []byte(f.Key), Asked: f.Asked, Newest: f.Newest}
	}
	if s := r.Standing; s != (kvs.Standing{}) {
		msg.Standing = &fsmpb.Result_Standing{Number: s.Number, Held: s.Held, Own: s.Own, ExpireAt: s.ExpireAt}
	}
	data, err := proto.Marshal(msg)
	if err != nil {
		return nil, fmt.Errorf("encode result: %w", err)
	}
	return data, nil
}

func shownToProto(s *kvs.Shown) *fsmpb.Result_Shown {
	v := s.Entry
	return &fsmpb.Result_Shown{Key: []byte(v.Key), Value: s.Value, Version: &fsmpb.Version{
		Value: v.Value, Flags: v.Flags, Session: []byte(v.Session), LockIndex: v.LockIndex,
		CreateIndex: v.CreateIndex, ModifyIndex: v.ModifyIndex, Time: v.Time, Kind: uint32(v.Kind),
	}}
}

func shownFromProto(m *fsmpb.Result_Shown) kvs.Shown {
	v := m.GetVersion()
	return kvs.Shown{Value: m.GetValue(), Entry: &kvs.Version{
		Key: string(m.GetKey()), Value: v.GetValue(), Flags: v.GetFlags(), Session: string(v.GetSession()),
		LockIndex: v.GetLockIndex(), CreateIndex: v.GetCreateIndex(), ModifyIndex: v.GetModifyIndex(),
		Time: v.GetTime(), Kind: kvs.Kind(v.GetKind()),
	}}
}

func mixedShownToProto(m *MixedShown) *fsmpb.Result_Mixed {
	out := &fsmpb.Result_Mixed{}
	if m.KV != nil {
		out.Kv = shownToProto(m.KV)
	}
	if c := m.Catalog; c != nil {
		out.Catalog = true
		if c.Node != nil {
			out.Node = nodeToProto(c.Node)
		}
		if c.Service != nil {
			out.Service = serviceToProto(c.Service)
		}
		if c.Check != nil {
			out.Check = checkToProto(c.Check)
		}
	}
	return out
}

func mixedShownFromProto(m *fsmpb.Result_Mixed) MixedShown {
	var out MixedShown
	if m.GetKv() != nil {
		shown := shownFromProto(m.GetKv())
		out.KV = &shown
	}
	if m.GetCatalog() {
		out.Catalog = &catalog.Shown{}
		if m.GetNode() != nil {
			out.Catalog.Node = nodeFromProto(m.GetNode())
		}
		if m.GetService() != nil {
			out.Catalog.Service = serviceFromProto(m.GetService())
		}
		if m.GetCheck() != nil {
			out.Catalog.Check = checkFromProto(m.GetCheck())
		}
	}
	return out
}

// DecodeResult reads what EncodeResult wrote.
func DecodeResult(data []byte) (Result, error) {
	msg := &fsmpb.Result{}
	if err := proto.Unmarshal(data, msg); err != nil {
		return Result{}, fmt.Errorf("decode result: %w", err)
	}
	r := Result{
		Index: msg.GetIndex(), Applied: msg.GetApplied(), Invalid: string(msg.GetInvalid()),
		Key: string(msg.GetKey()), Fence: msg.GetFence(), Ended: int(msg.GetEnded()), Refusal: kvs.Refusal(msg.GetRefusal()),
		Denied: string(msg.GetDenied()),
	}
	for _, s := range msg.GetShown() {
		r.Shown = append(r.Shown, shownFromProto(s))
	}
	for _, m := range msg.GetMixed() {
		r.Mixed = append(r.Mixed, mixedShownFromProto(m))
	}
	for _, e := range msg.GetErrors() {
		r.Errors = append(r.Errors, TxnError{OpIndex: int(e.GetOpIndex()), What: string(e.GetWhat())})
	}
	if f := msg.GetFenced(); f != nil {
		r.Fenced = &kvs.FenceError{Key: string(f.GetKey()), Asked: f.GetAsked(), Newest: f.GetNewest()}
	}
	if s := msg.GetStanding(); s != nil {
		r.Standing = kvs.Standing{Number: s.GetNumber(), Held: s.GetHeld(), Own: s.GetOwn(), ExpireAt: s.GetExpireAt()}
	}
	return r, nil
}
